package sallyport.authz_test

import data.sallyport.authz

# A request of ann's at acme that every role may make.
base := {
	"route": "/api/contacts/{id}",
	"class": "app",
	"resource": "contact",
	"area": "records",
	"id": "7",
	"action": "read",
	"mutating": false,
	"tenant": "acme",
	"client": {"addr": "192.0.2.1"},
	"site": "crm",
	"method": "GET",
	"path": "/api/contacts/7",
	"user": {
		"id": "ann",
		"email": "ann@acme.example",
		"roles": ["member"],
		"groups": [],
		"tenant": "acme",
		"amr": ["pwd"],
		"mfa": false,
	},
}

user(changes) := {"user": object.union(base.user, changes)}

roles(names) := user({"roles": names})

decide(changes) := decision if {
	decision := authz.decision with input as object.union(base, changes)
}

ids(decision) := {reason.id | some reason in decision.reasons}

test_read_is_allowed_and_names_the_role if {
	decide({}) == {"allow": true, "rule": "role.member", "reasons": []}
}

test_roles_unite if {
	delete_as := {"action": "delete", "mutating": true}
	not decide(object.union(delete_as, roles(["member", "viewer"]))).allow
	decide(object.union(delete_as, roles(["member", "admin", "viewer"]))).rule == "role.admin"
}

test_read_that_may_change_something_is_no_read if {
	not decide({"mutating": true}).allow
	not decide(object.union({"mutating": true}, roles(["viewer"]))).allow
	decide(object.union({"mutating": true}, roles(["admin"]))).allow
}

test_named_action_is_no_read_even_if_it_changes_nothing if {
	not decide({"action": "export"}).allow
	decide(object.union({"action": "export"}, roles(["admin"]))).allow
}

test_named_action_cannot_borrow_the_word_other if {
	not decide({"action": "other"}).allow
}

test_unknown_role_grants_nothing if {
	every names in [[], ["guest"], ["Owner"], [""], ["*"], ["records"]] {
		decision := decide(roles(names))
		not decision.allow
		ids(decision) == {"role_lacks_permission", "role_missing"}
	}
}

test_unknown_area_is_denied_even_to_owners if {
	decision := decide(object.union({"area": "payroll"}, roles(["owner"])))
	not decision.allow
	decision.rule == "role_lacks_permission"
}

test_stranger_is_denied if {
	every class in ["app", "console", "operator"] {
		decision := authz.decision with input as object.union(object.remove(base, ["user"]), {"class": class})
		not decision.allow
		decision.rule == "not_authenticated"
	}
	decide(user({"id": "", "roles": ["owner"]})).rule == "not_authenticated"
}

test_denial_wins_over_every_role if {
	other := decide(user({"roles": ["owner"], "tenant": "globex"}))
	not other.allow
	other.rule == "tenant_mismatch"
	none := decide(object.union({"tenant": ""}, user({"roles": ["owner"], "tenant": ""})))
	not none.allow
	none.rule == "tenant_missing"
}

test_console_is_for_owners_and_admins if {
	console := {"class": "console", "area": "records", "resource": "sallyport", "action": "settings", "mutating": true}
	every role in ["owner", "admin"] {
		decide(object.union(console, roles([role]))).rule == concat(".", ["role", role])
	}
	every role in ["member", "viewer"] {
		decision := decide(object.union(console, roles([role])))
		not decision.allow
		decision.rule == "console_role_required"
	}
}

test_operator_reaches_the_operator_pages_alone if {
	every names in [["operator"], ["operator", "owner"]] {
		decide(object.union({"class": "operator"}, roles(names))).rule == "role.operator"
		every class in ["app", "console"] {
			decision := decide(object.union({"class": class}, roles(names)))
			not decision.allow
			decision.rule == "operator_confined"
		}
	}
	decide(object.union({"class": "operator"}, roles(["owner"]))).rule == "operator_role_required"
}

test_operator_needs_no_tenant if {
	decide(object.union({"class": "operator", "tenant": ""}, user({"roles": ["operator"], "tenant": ""}))).allow
}

test_other_classes_are_not_served if {
	every class in ["none", "public", "portal", ""] {
		decision := decide(object.union({"class": class}, roles(["owner"])))
		not decision.allow
		decision.rule == "class_not_served"
	}
}

test_reason_says_what_was_asked_for if {
	decision := decide({"action": "delete", "mutating": true})
	decision.reasons == [{
		"id": "role_lacks_permission",
		"text": `None of the user's roles may do "delete" on "contact" (area "records").`,
	}]
}

test_nothing_in_gives_no if {
	not authz.decision.allow with input as {}
	not authz.decision.allow with input as null
	authz.decision.rule == "not_authenticated" with input as {}
}
