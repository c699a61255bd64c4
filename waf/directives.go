package waf

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed base.conf
var baseConf string

//go:embed crm.conf
var crmConf string

// ruleFiles names the files of the Core Rule Set that are loaded,
// in CRS's order. Left out are the response rules, since answers are not inspected,
// and REQUEST-905-COMMON-EXCEPTIONS, which switches every rule off for requests from
// loopback with a certain User-Agent: no client may ask for that.
const ruleFiles = `
Include @owasp_crs/REQUEST-901-INITIALIZATION.conf
Include @owasp_crs/REQUEST-911-METHOD-ENFORCEMENT.conf
Include @owasp_crs/REQUEST-913-SCANNER-DETECTION.conf
Include @owasp_crs/REQUEST-920-PROTOCOL-ENFORCEMENT.conf
Include @owasp_crs/REQUEST-921-PROTOCOL-ATTACK.conf
Include @owasp_crs/REQUEST-922-MULTIPART-ATTACK.conf
Include @owasp_crs/REQUEST-930-APPLICATION-ATTACK-LFI.conf
Include @owasp_crs/REQUEST-931-APPLICATION-ATTACK-RFI.conf
Include @owasp_crs/REQUEST-932-APPLICATION-ATTACK-RCE.conf
Include @owasp_crs/REQUEST-933-APPLICATION-ATTACK-PHP.conf
Include @owasp_crs/REQUEST-934-APPLICATION-ATTACK-GENERIC.conf
Include @owasp_crs/REQUEST-941-APPLICATION-ATTACK-XSS.conf
Include @owasp_crs/REQUEST-942-APPLICATION-ATTACK-SQLI.conf
Include @owasp_crs/REQUEST-943-APPLICATION-ATTACK-SESSION-FIXATION.conf
Include @owasp_crs/REQUEST-944-APPLICATION-ATTACK-JAVA.conf
Include @owasp_crs/REQUEST-949-BLOCKING-EVALUATION.conf
Include @owasp_crs/REQUEST-999-COMMON-EXCEPTIONS-AFTER.conf
`

// replacedRules takes away what is settled elsewhere. 920420 compares the media type
// with one list for all sites; mediatype.go knows what the route allows as well. 920340 and
// 920480 mind a body without a type, or in another charset: the read_body gate refuses both
// as what they are (415), not as an attack. 920350 minds a Host that is an address; no Host gets here that the file does not
// name.
const replacedRules = `
SecRuleRemoveById 920340 920420 920480 920350
`

// crmRemovals are the rules that preset crm does without. 920120 refuses quotes and
// semicolons in the names of files ("O'Brien offer.pdf"), with which parsers could be
// led to read a part in two ways; multipart.go refuses what has two readings.
const crmRemovals = `
SecRuleRemoveById 920120
`

// directives is the whole configuration as SecLang. Only numbers and checked names
// of c go into it.
func directives(c Config) string {
	var b strings.Builder
	b.WriteString(baseConf)
	fmt.Fprintf(&b, "\nSecArgumentsLimit %d\n", c.Limits.Arguments)
	fmt.Fprintf(&b, `SecAction "id:90101,phase:1,pass,nolog,t:none,`+
		`setvar:'tx.blocking_paranoia_level=%d',`+
		`setvar:'tx.inbound_anomaly_score_threshold=%d',`+
		`setvar:'tx.allowed_methods=%s'"`+"\n",
		c.Paranoia, c.Threshold, strings.Join(c.Methods, " "))
	if c.Preset == presetCRM {
		b.WriteString(crmConf)
	}
	b.WriteString(ruleFiles)
	b.WriteString(replacedRules)
	if c.Preset == presetCRM {
		b.WriteString(crmRemovals)
	}
	return b.String()
}
