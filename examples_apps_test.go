package captcha_test

import (
	"strings"
	"testing"
)

// applications are the examples for applications that are in use, and for the
// ways in which sites are built.
var applications = map[string]example{
	"wordpress": {
		protected: []string{
			"/wp-login.php", "/wp-login.php?action=lostpassword", "/wp-login.php/x", "//wp-login.php", "/wp-comments-post.php",
			"/2026/11/hello/trackback/", "/wp-login.php?action=register", "/wp-signup.php",
		},
		open:     []string{"/", "/wp-json/wp/v2/posts", "/wp-admin/admin-ajax.php"},
		injected: []string{"/wp-login.php", "/hello?form=/wp-comments-post.php", "/wp-login.php?interim-login=1"},
		still:    []string{"/hello", "/wp-admin/post.php?form=/wp-login.php"},
		special:  tryWordPress,
	},
	"nextcloud": {
		protected: []string{
			"/login", "/index.php/login", "/login/", "//index.php//login", "/login/challenge/totp", "/lostpassword/email", "/index.php/lostpassword/set/t/u",
			"/s/Tok3n/authenticate/showShare", "/index.php/s/Tok3n/authenticate", "/apps/registration/",
		},
		open: []string{
			"/login/v2", "/login/v2/poll", "/index.php/login/v2/poll", "/login/flow", "/login/confirm", "/remote.php/dav/files/ann/a.txt",
			"/public.php/dav/files/Tok3n", "/ocs/v2.php/apps/files_sharing/api/v1/shares", "/s/Tok3n", "/apps/files/ajax/x",
		},
		injected: []string{"/login?clear=1", "/index.php/login", "/s/Tok3n/authenticate/showShare"},
		still:    []string{"/apps/files/"},
		special:  tryNextcloud,
	},
	"gitea": {
		protected: []string{
			"/user/login", "/user/login/openid", "/user/sign_up", "/user/two_factor", "/user/two_factor/scratch", "/user/link_account_signin", "/user/link_account_signup",
			"/user/openid/connect", "/user/openid/register", "/user/forgot_password", "/user/recover_account", "/user/activate", "/User/Login",
		},
		open: []string{
			"/login/oauth/access_token", "/ann/repo.git/git-receive-pack", "/ann/repo.git/info/lfs/objects/batch", "/api/v1/user/repos", "/v2/ann/image/blobs/uploads/",
			"/ann/repo/issues/new", "/user/settings", "/user/logout",
		},
		injected: []string{"/user/login", "/user/sign_up"},
		still:    []string{"/ann/repo", "/"},
	},
	"keycloak": {
		protected: []string{
			"/realms/orchard/login-actions/authenticate?session_code=x", "/realms/orchard/login-actions/registration", "/realms/orchard/login-actions/reset-credentials",
			"/realms/orchard/login-actions/authenticate/", "/realms/orchard;x=y/login-actions;z/authenticate", "/realms/orchard/device",
		},
		open: []string{
			"/realms/orchard/protocol/openid-connect/token", "/realms/orchard/protocol/saml", "/realms/orchard/broker/forge/endpoint", "/realms/orchard/protocol/openid-connect/auth/device",
		},
		injected: []string{"/realms/orchard/protocol/openid-connect/auth?form=/realms/orchard/login-actions/authenticate"},
		still:    []string{"/realms/orchard/account"},
		special:  tryKeycloak,
	},
	"spa":          {protected: []string{"/api/login", "/api/signup", "/api/contact"}, open: []string{"/api/items"}, special: trySPA},
	"static-forms": {protected: []string{"/forms/contact"}, special: tryStaticForms},
}

// checkInjected looks at a page as a browser does: whether its form is ready for
// a token.
func checkInjected(t *testing.T, address string, want bool) {
	t.Helper()
	r := get(t, address, "Accept", "text/html", "Sec-Fetch-Dest", "document")
	_, form, ok := strings.Cut(r.body, "<form ")
	if !ok || r.StatusCode != 200 {
		t.Fatalf("GET %s: %s, want a page with a form: %.300s", address, r.Status, r.body)
	}
	_, inside, _ := strings.Cut(form, ">")
	if got := strings.HasPrefix(inside, `<input type="hidden" name="altcha" autocomplete="off" disabled data-captcha-inject>`); got != want {
		t.Errorf("GET %s: the form is ready for a token: %t, want %t: %s", address, got, want, form)
	}
}

func tryWordPress(t *testing.T, site string) {
	if r := post(t, site+"/xmlrpc.php", "text/xml", "<methodCall/>"); r.StatusCode != 403 || r.Header.Get("Captcha-Required") != "" {
		t.Errorf("XML-RPC: %s, want it closed", r.Status)
	}
	checkClearance(t, site+"/wp-login.php", site+"/wp-comments-post.php")
}

func tryNextcloud(t *testing.T, site string) {
	for _, method := range []string{"PROPFIND", "PUT", "MKCOL", "REPORT"} {
		if r := send(t, method, site+"/remote.php/dav/files/ann/", "text/xml", "<propfind/>", "Authorization", "Basic YTpi"); r.StatusCode != 200 {
			t.Errorf("%s by a WebDAV client: %s", method, r.Status)
		}
	}
	checkClearance(t, site+"/login", site+"/login/challenge/totp")
}

func tryKeycloak(t *testing.T, site string) {
	for _, path := range []string{"/admin/master/console/", "/admin", "/metrics", "/health/ready", "/", "/realms/../admin/", "/realms/..%2fadmin/"} {
		if r := get(t, site+path); r.StatusCode != 404 {
			t.Errorf("GET %s: %s, want it closed", path, r.Status)
		}
	}
	checkClearance(t, site+"/realms/orchard/login-actions/authenticate", site+"/realms/orchard/login-actions/required-action")
}

func trySPA(t *testing.T, site string) {
	for _, path := range []string{"/", "/some/route"} {
		r := get(t, site+path, "Accept", "text/html", "Sec-Fetch-Dest", "document")
		if n := strings.Count(r.body, "<script data-captcha-inject>"); r.StatusCode != 200 || n != 1 || !strings.Contains(r.body, `id="login"`) {
			t.Errorf("GET %s: %s with %d scripts of ours", path, r.Status, n)
		}
	}
	checkClearance(t, site+"/api/login", site+"/api/signup")
}

func tryStaticForms(t *testing.T, site string) {
	checkInjected(t, site+"/", true)
}
