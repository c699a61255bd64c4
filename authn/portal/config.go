package portal

// Config is the key "authn.portal" of the configuration file.
type Config struct {
	AlwaysAsk bool `yaml:"always_ask" doc:"Shows the login page even on a site with one single provider, instead of leading people straight to that. Default: false."`
}

// WithDefaults gives the configuration as it is: each zero value is the default.
func (c Config) WithDefaults() Config { return c }

// Check has nothing to find: every value is allowed.
func (c Config) Check(_, _ func(path, what, hint string)) {}
