package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bench/job"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Conn is one connection with several streams, all driven by one goroutine.
type http2Conn struct {
	socket  *tls.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	decoder *hpack.Decoder
	status  string // of the header block that is being read
	next    uint32 // id of the next stream
	taken   uint32 // bytes since the last window update
	page    []byte // the answer to every GET
	streams map[uint32]*stream
}

type stream struct {
	n          uint64 // which request it is
	status     string
	body, want []byte
}

const window = 1 << 30

func newHTTP2(socket *tls.Conn) (*http2Conn, error) {
	c := &http2Conn{socket: socket, r: bufio.NewReaderSize(socket, 16<<10), w: bufio.NewWriterSize(socket, 16<<10), next: 1, streams: map[uint32]*stream{}}
	c.framer = http2.NewFramer(c.w, c.r)
	c.encoder = hpack.NewEncoder(&c.block)
	c.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			c.status = f.Value
		}
	})
	c.w.WriteString(http2.ClientPreface)
	return c, errors.Join(c.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}), c.framer.WriteWindowUpdate(0, window), c.w.Flush())
}

func (c *http2Conn) run(j job.Job, deadline time.Time, n uint64) (done int, err error) {
	for range streamsPerConnection {
		if err := c.ask(j, n); err != nil {
			return done, err
		}
		n++
	}
	for len(c.streams) > 0 {
		if c.r.Buffered() == 0 {
			c.socket.SetDeadline(time.Now().Add(answerTimeout))
			if err := c.w.Flush(); err != nil {
				return done, err
			}
		}
		ended, err := c.take()
		if err != nil {
			return done, err
		}
		if ended == nil {
			continue
		}
		if err := check(j, ended.n, ended.status, ended.body, ended.want); err != nil {
			return done, err
		}
		done++
		if time.Now().Before(deadline) {
			if err := c.ask(j, n); err != nil {
				return done, err
			}
			n++
		}
	}
	return done, nil
}

// ask begins a stream.
func (c *http2Conn) ask(j job.Job, n uint64) error {
	body := j.Kind.Body(j.Seed, n)
	method := "GET"
	if body != nil {
		method = "POST"
	}
	c.block.Reset()
	write := func(name, value string) { c.encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	write(":method", method)
	write(":scheme", "https")
	write(":authority", job.Host)
	write(":path", j.Kind.Target(j.Seed, n))
	for _, h := range j.Kind.Headers() {
		write(strings.ToLower(h[0]), h[1])
	}
	if j.Cookie != "" {
		for crumb := range strings.SplitSeq(j.Cookie, "; ") { // RFC 9113, section 8.2.3
			write("cookie", crumb)
		}
	}
	if body != nil {
		write("content-length", length(body))
	}
	id := c.next
	c.next += 2
	if c.page == nil {
		c.page = job.Page(j.Tenant)
	}
	c.streams[id] = &stream{n: n, want: c.page}
	if body != nil {
		c.streams[id].want = job.Receipt(j.Tenant, body)
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: body == nil}); err != nil {
		return err
	}
	if body != nil {
		return c.framer.WriteData(id, true, body)
	}
	return nil
}

// take reads one frame and gives the stream that it ended, or nil.
func (c *http2Conn) take() (*stream, error) {
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return nil, err
	}
	s, ended := c.streams[frame.Header().StreamID], false
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return nil, c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return nil, c.framer.WritePing(true, f.Data)
		}
	case *http2.HeadersFrame:
		if s == nil || !f.HeadersEnded() {
			return nil, errors.New("HTTP/2: an answer that nobody asked for, or a header block in pieces")
		}
		c.status = ""
		if _, err := c.decoder.Write(f.HeaderBlockFragment()); err != nil {
			return nil, err
		}
		s.status, ended = c.status, f.StreamEnded()
	case *http2.DataFrame:
		if s == nil {
			return nil, errors.New("HTTP/2: data of an unknown stream")
		}
		s.body, ended = append(s.body, f.Data()...), f.StreamEnded()
		if c.taken += f.Header().Length; c.taken > window/2 {
			if err := c.framer.WriteWindowUpdate(0, c.taken); err != nil {
				return nil, err
			}
			c.taken = 0
		}
	case *http2.RSTStreamFrame:
		return nil, fmt.Errorf("HTTP/2: the stream was reset: %v", f.ErrCode)
	case *http2.GoAwayFrame:
		return nil, fmt.Errorf("HTTP/2: the connection is ending: %v %.100q", f.ErrCode, f.DebugData())
	}
	if !ended {
		return nil, nil
	}
	delete(c.streams, frame.Header().StreamID)
	return s, nil
}
