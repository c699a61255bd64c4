package configs

import _ "embed"

// Example is the commented example of a whole file.
//
//go:embed example.yaml
var Example []byte

// CRM is the preset for an older CRM.
//
//go:embed crm.yaml
var CRM []byte
