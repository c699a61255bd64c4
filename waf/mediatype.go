package waf

import (
	"mime"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// form says how a body is read, which its media type decides and nothing else.
type form uint8

const (
	formText form = iota // everything that is not known to be something else
	formJSON
	formFields
	formMultipart
	formXML
	formBinary
)

// formOf chooses the reading. What is unknown is text: judged whole.
func formOf(mediaType string) form {
	main, sub, _ := strings.Cut(mediaType, "/")
	switch {
	case mediaType == "application/x-www-form-urlencoded":
		return formFields
	case mediaType == "multipart/form-data":
		return formMultipart
	case strings.HasSuffix(sub, "+json"), slices.Contains([]string{"json", "x-json", "csp-report", "reports"}, sub):
		return formJSON
	case strings.HasSuffix(sub, "+xml") && mediaType != "image/svg+xml", sub == "xml":
		return formXML
	case slices.Contains([]string{"image", "audio", "video", "font"}, main):
		return formBinary
	case main != "application":
		return formText
	case strings.HasPrefix(sub, "vnd."), slices.Contains([]string{
		"octet-stream", "pdf", "zip", "gzip", "x-gzip", "x-tar", "x-7z-compressed", "msword", "rtf", "wasm",
		"protobuf", "x-protobuf", "grpc", "cbor", "msgpack", "x-msgpack",
	}, sub):
		return formBinary
	}
	return formText
}

// mediaTypeOf is the essence of the body's type: as read_body wrote it, or, before
// that, as the header says. An unreadable Content-Type is a breach, since the
// backend might read it after all.
func mediaTypeOf(ex *access.Exchange) (string, error) {
	if ex.Body.MediaType != "" {
		return ex.Body.MediaType, nil
	}
	header := ex.Request.Header.Get("Content-Type")
	if header == "" {
		return "", nil
	}
	essence, _, err := mime.ParseMediaType(header)
	if err != nil {
		return "", breachHeader
	}
	return essence, nil
}

// checkType refuses a body of a type that neither the configuration nor the route
// names. A body without a type is left to the rules (920640).
func (e *Engine) checkType(ex *access.Exchange) error {
	t, err := mediaTypeOf(ex)
	if err != nil || t == "" {
		return err
	}
	if slices.Contains(e.config.Types, t) || slices.Contains(ex.Route.Body.Types, t) || slices.Contains(ex.Route.Body.Types, "*/*") {
		return nil
	}
	return breachType
}
