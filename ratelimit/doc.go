// Package ratelimit says how often: per client address before anything is known about
// a caller (Flood), per user and tenant once they are known (Quota). It also holds the
// addresses that are banned for a time.
//
// Flood and Quota are Runtime: they live as long as the process, and a reload changes
// their limits with Configure, which keeps what every caller has used up so far.
// Nothing here belongs to the Plan.
//
// Directions of failure. Flood has nothing that could fail: it is local memory of a
// fixed size. Quota asks a shared Store where there is one, and counts on this instance
// alone when that errs, panics or is late. An address that is not one, an exchange
// without an identity, and the zero Flood and Quota are refused.
package ratelimit
