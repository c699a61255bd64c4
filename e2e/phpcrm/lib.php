<?php
// A small CRM in the style of old ones. It knows nothing of gateways: it takes the tenant and
// the user from headers when its own session begins, and believes its session cookie from then
// on, whatever the headers say.

session_name('PHPSESSID');
session_set_cookie_params(['httponly' => true]);
session_save_path(getenv('PHPCRM_DATA') . '/sessions');
session_start();
if (!isset($_SESSION['user'])) {
    $_SESSION['user'] = $_SERVER['HTTP_X_USER_EMAIL'] ?? 'nobody';
    $_SESSION['tenant'] = $_SERVER['HTTP_X_TENANT_ID'] ?? 'none';
}
// The token that forms must repeat; a script copies it from the cookie into the forms.
if (!isset($_COOKIE['csrftoken'])) {
    $token = bin2hex(random_bytes(16));
    setcookie('csrftoken', $token, ['path' => '/']);
    $_COOKIE['csrftoken'] = $token;
}

function db(): PDO
{
    $db = new PDO('sqlite:' . getenv('PHPCRM_DATA') . '/crm.sqlite');
    $db->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
    $db->exec('CREATE TABLE IF NOT EXISTS deals (id INTEGER PRIMARY KEY, tenant TEXT, name TEXT, amount INTEGER)');
    return $db;
}

function h(string $s): string
{
    return htmlspecialchars($s, ENT_QUOTES);
}

// Old applications compare the Referer with the Host against forged forms.
function demand_post_from_here(): void
{
    $referer = parse_url($_SERVER['HTTP_REFERER'] ?? '');
    $host = ($referer['host'] ?? '') . (isset($referer['port']) ? ':' . $referer['port'] : '');
    if ($host !== $_SERVER['HTTP_HOST']) {
        page('Refused', '<p id="refused">Referer and Host differ.</p>');
        exit;
    }
    if (($_POST['csrf'] ?? '') !== $_COOKIE['csrftoken']) {
        page('Refused', '<p id="refused">The form token is wrong.</p>');
        exit;
    }
}

function page(string $title, string $body): void
{
    header('X-Powered-By: PHP/5.3.3 (legacy)');
    echo '<!doctype html><html lang="en"><head><title>' . h($title) . '</title><script src="/static/forms.js" defer></script></head><body>'
        . '<p>Signed in as <b id="user">' . h($_SESSION['user']) . '</b> of <b id="tenant">' . h($_SESSION['tenant']) . '</b></p>'
        . '<h1>' . h($title) . '</h1>' . $body . '</body></html>';
}
