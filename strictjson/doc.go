// Package strictjson is the one JSON reader for documents that a stranger sent. It
// refuses whatever two readers could understand differently (RFC 8259, section 4:
// "the behavior of software that receives such an object is unpredictable"), so that
// what was judged here is what the backend reads:
//
//   - a member name given twice in one object, compared after unescaping;
//   - invalid UTF-8, lone surrogates, a byte order mark, UTF-16 and UTF-32;
//   - control characters in names, raw ones in strings;
//   - anything after the document, comments, NaN, single quotes, trailing commas;
//   - documents that are too deep or have too many leaves, paths and numbers that are
//     too long: a budget is a security feature, since every leaf costs a judgement.
//
// Names that differ only in case are two names, as the RFC has it; a caller that
// guards a name compares it folded.
//
// Everything that Walk accepts, encoding/json accepts with the same values.
package strictjson
