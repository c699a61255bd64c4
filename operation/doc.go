// Package operation reads bodies once and finds out what they do. It makes two gates:
//
//   - read_body (Reader.Read): one bounded reading. The body is inflated, kept in memory
//     or in a sealed temporary file, and from then on everybody gets the same bytes;
//   - operation (Reader.Complete): the body's leaves become values, a JSON-RPC method or
//     a form parameter completes the route, and the tenant guard looks at every field.
//
// A body that has a type which we parse and that does not parse is refused: nothing
// passes uninspected because it was malformed. A body that two parsers could read
// differently is malformed.
//
// Routes marked stream: true are judged as they pass (stream.go): the fields before the
// first file are judged before the backend is called, the rest before the bytes are
// released, and the end of the body is held back until all of it was judged. JSON and
// form bodies are spooled there too, since they cannot be judged by halves.
//
// Lifetimes: Spool is Runtime (its key, and the bounds across requests); Reader is Plan,
// immutable, and a reload builds a new one on the same Spool.
package operation
