package ratelimit

import (
	"encoding/binary"
	"hash/maphash"
	"log/slog"
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/observe"
)

// Deps is what this room needs from outside. Whatever is nil has a stand-in.
type Deps struct {
	Now    func() time.Time // time.Now
	Meter  observe.Meter    // counts nothing
	Health observe.Health   // reports to nobody
	Log    *slog.Logger     // says nothing
	// Shared holds the quotas of all instances together. Nil: each counts alone.
	Shared Store
}

func (d Deps) withDefaults() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Meter == nil {
		d.Meter = observe.Discard{}
	}
	if d.Health == nil {
		d.Health = observe.Discard{}
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return d
}

// floodBuckets is how many addresses have a bucket of their own at the same time. One
// costs about 104 bytes (the limiter 80, its share of the set the rest), so that the
// table stays below 64 MiB; a test measures it.
const floodBuckets = 512 << 10

// Flood bounds how often one address may call, before anything else about a request
// is looked at. It needs no store and no lock that two addresses share, and it cannot
// fail. The zero Flood refuses everybody.
type Flood struct {
	buckets  table
	bans     bans
	seed     maphash.Seed
	limits   atomic.Pointer[limits]
	now      func() time.Time
	overflow observe.Counter
}

// NewFlood makes a Flood that has seen nobody. Of deps it uses Now and Meter.
func NewFlood(cfg Config, deps Deps) *Flood {
	deps = deps.withDefaults()
	f := &Flood{
		buckets: newTable(floodBuckets),
		bans:    newBans(),
		seed:    maphash.MakeSeed(),
		now:     deps.Now,
		overflow: deps.Meter.Counter("sallyport_ratelimit_shared_bucket_total",
			"Requests counted in a bucket that several addresses share, because the table is full."),
	}
	f.Configure(cfg)
	return f
}

// Configure changes the limits. What addresses have used up, and bans, stay.
func (f *Flood) Configure(cfg Config) {
	cfg = cfg.WithDefaults()
	l := limitsOf(cfg.PerAddress, cfg.AddressBurst)
	f.limits.Store(&l)
}

// Allow counts one request of an address. When the address is banned or calls too
// often, ok is false and retryAfter says when to try again; it is 0 for an address
// that is none, which is always refused.
func (f *Flood) Allow(addr netip.Addr) (retryAfter time.Duration, ok bool) {
	l := f.limits.Load()
	if l == nil || !addr.IsValid() {
		return 0, false // closed: nobody knows whom to count
	}
	now, hash := f.now(), f.hash(addr)
	if until, banned := f.bans.until(hash, now); banned {
		return until.Sub(now), false
	}
	_, wait, ok, newcomer := f.buckets.take(hash, now, *l)
	if newcomer {
		f.overflow.Add(1)
	}
	return wait, ok
}

// Ban refuses an address (IPv6: its whole /64) until the given time. A ban that lasts
// longer already stays as it is: Unban first to shorten one. Addresses that are none
// and times that have passed are ignored.
func (f *Flood) Ban(addr netip.Addr, until time.Time) {
	if f.limits.Load() == nil || !addr.IsValid() || !until.After(f.now()) {
		return
	}
	if last := time.Unix(0, math.MaxInt64); until.After(last) {
		until = last // the year 2262
	}
	f.bans.add(f.hash(addr), until)
}

// Unban ends a ban. It is no mistake to unban an address that is not banned.
func (f *Flood) Unban(addr netip.Addr) {
	if f.limits.Load() != nil && addr.IsValid() {
		f.bans.remove(f.hash(addr))
	}
}

// Banned says whether an address is banned, and until when.
func (f *Flood) Banned(addr netip.Addr) (until time.Time, ok bool) {
	if f.limits.Load() == nil || !addr.IsValid() {
		return time.Time{}, false
	}
	return f.bans.until(f.hash(addr), f.now())
}

// hash knows a caller by the IPv4 address, or by the first 64 bits of an IPv6 one:
// a single customer is commonly given all the rest (RFC 6177, section 2).
func (f *Flood) hash(addr netip.Addr) uint64 {
	var network uint64
	if addr = addr.Unmap(); addr.Is4() {
		b := addr.As4()
		// ff::/8 is multicast: no IPv6 caller comes from there, so none is confused
		// with an IPv4 one.
		network = 0xff<<56 | uint64(binary.BigEndian.Uint32(b[:]))
	} else {
		b := addr.As16()
		network = binary.BigEndian.Uint64(b[:8])
	}
	return maphash.Comparable(f.seed, network)
}
