package waf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// element is one XML element that is open.
type element struct {
	prefix int // length of the path up to and without the element
	text   strings.Builder
}

// xml judges a body that claims to be XML: the text of every element, joined across
// its comments, sections and children as a backend would join it, its attributes, and
// processing instructions and comments. Coraza's own reader takes broken XML for
// fine, and most rules do not look at the attributes that it finds.
//
// A document type declaration is refused, as is any encoding but UTF-8. Go's decoder
// fetches nothing and expands no entities but the five of XML.
func (p *payload) xml(body []byte) error {
	dec := xml.NewDecoder(bytes.NewReader(body))
	path := []byte("xml")
	var open []*element
	roots := 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && roots == 1 && len(open) == 0 {
			return nil
		}
		if err != nil {
			return breachXML
		}
		switch t := token.(type) {
		case xml.Directive:
			return breachDoctype
		case xml.StartElement:
			if len(open) == 0 {
				roots++
			}
			if len(open) == p.limits.Depth {
				return breachDepth
			}
			open = append(open, &element{prefix: len(path)})
			path = append(append(path, '.'), t.Name.Local...)
			err = p.attributes(string(path), t.Attr)
		case xml.EndElement:
			last := open[len(open)-1]
			err = p.add(string(path), strings.TrimSpace(last.text.String()))
			path, open = path[:last.prefix], open[:len(open)-1]
		case xml.CharData:
			switch {
			case len(open) > 0:
				open[len(open)-1].text.Write(t)
			case len(bytes.TrimSpace(t)) > 0:
				return breachXML // text outside of the root element
			}
		case xml.Comment:
			err = p.add("xml.comment", string(t))
		case xml.ProcInst:
			if t.Target != "xml" {
				err = p.add("xml.instruction", t.Target+" "+string(t.Inst))
			}
		}
		if err != nil {
			return err
		}
	}
}

func (p *payload) attributes(path string, attrs []xml.Attr) error {
	for _, a := range attrs {
		if err := p.add(path+"."+a.Name.Local, a.Value); err != nil {
			return err
		}
	}
	return nil
}
