# METADATA
# title: Who may do what
# description: >-
#   Roles unite: what one of a user's roles may, the user may. A denial wins over
#   every role. What nothing grants is denied.
package sallyport.authz

# METADATA
# description: The answer. It is a no unless the first body holds; there always is a reason then.
# entrypoint: true
decision := {
	"allow": true,
	"rule": concat(".", ["role", min(granting)]),
	"reasons": [],
} if {
	count(denials) == 0
	count(granting) > 0
} else := {
	"allow": false,
	"rule": refused_by,
	"reasons": [refusal | some refusal in refusals],
}

refused_by := min({denial.id | some denial in denials}) if {
	count(denials) > 0
} else := min({refusal.id | some refusal in refusals})

# The user's roles that grant this request.
granting contains role if {
	input.class == "app"
	some role in input.user.roles
	permissions[role][input.area][verb]
}

granting contains role if {
	input.class == "console"
	some role in input.user.roles
	console_roles[role]
}

granting contains "operator" if {
	input.class == "operator"
	"operator" in input.user.roles
}

# A read is one only where the route is known to change nothing.
verb := "read" if {
	input.action == "read"
	input.mutating == false
} else := input.action if {
	input.action in {"create", "update", "delete"}
} else := "other"

# --- denials: they win over every role ----------------------------------------

denials contains reason("not_authenticated", "Nobody is logged in.") if not authenticated

denials contains reason("tenant_missing", "The login names no tenant.") if {
	input.class in {"app", "console"}
	not has_tenant
}

denials contains reason("tenant_mismatch", "The login is for another tenant.") if {
	input.user.tenant != input.tenant
}

denials contains reason("operator_confined", "An operator's login reaches the operator pages alone.") if {
	input.class != "operator"
	"operator" in input.user.roles
}

authenticated if input.user.id != ""

has_tenant if input.tenant != ""

# --- reasons: only asked for when the answer is no ----------------------------

refusals contains denial if some denial in denials

refusals contains reason("role_missing", "The user has no role that this policy knows.") if {
	input.class in {"app", "console"}
	count({role | some role in input.user.roles; permissions[role]}) == 0
}

refusals contains reason("role_lacks_permission", sprintf(
	"None of the user's roles may do %q on %q (area %q).",
	[input.action, input.resource, input.area],
)) if {
	input.class == "app"
	count(granting) == 0
}

refusals contains reason("console_role_required", "The console is for owners and admins.") if {
	input.class == "console"
	count(granting) == 0
}

refusals contains reason("operator_role_required", "These pages are for operators.") if {
	input.class == "operator"
	count(granting) == 0
}

refusals contains reason("class_not_served", "No role reaches this class of address.") if {
	not input.class in {"app", "console", "operator"}
}

reason(id, text) := {"id": id, "text": text}
