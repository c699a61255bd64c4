package ratelimit

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport/sallyport/access"
)

// Store keeps token buckets that several instances draw from.
//
// Take takes one token from each of the buckets, or, when one of them is empty, none
// from any. Then ok is false and retryAfter, greater than 0, says when that bucket will
// have a token. A bucket that nobody has drawn from is full. Rate and Burst are those
// of the call: where they differ from the last call's, what was used up stays used up.
// Two callers at once never get more than the bucket holds.
//
// An error means that the Store does not know; then nothing may be concluded from the
// other results. Take returns soon after ctx has ended. Quota survives a Store that
// breaks this rule, but counts without it meanwhile.
//
// contract_test.go tries an implementation against these sentences.
type Store interface {
	Take(ctx context.Context, buckets []Bucket) (retryAfter time.Duration, ok bool, err error)
}

// Bucket is one bucket of a Store. Key says which; the rest is how it is refilled.
type Bucket struct {
	Key   Key
	Rate  rate.Limit // tokens per second, greater than 0
	Burst int        // the most it holds, at least 1
}

// Key names a bucket. Two keys are the same bucket when all fields are equal.
type Key struct {
	Tenant access.TenantID
	User   string // the subject within the tenant; "" is the tenant itself
	Class  access.Class
}
