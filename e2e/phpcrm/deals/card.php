<?php
require __DIR__ . '/../lib.php';
$action = $_REQUEST['action'] ?? 'view';
$id = (int) ($_REQUEST['id'] ?? 0);
$mine = [$id, $_SESSION['tenant']];
switch ($action) {
    case 'add':
        demand_post_from_here();
        db()->prepare('INSERT INTO deals (tenant, name, amount) VALUES (?, ?, ?)')->execute([$_SESSION['tenant'], $_POST['name'], (int) $_POST['amount']]);
        header('Location: /', true, 302);
        exit;
    case 'update':
        demand_post_from_here();
        db()->prepare('UPDATE deals SET name = ? WHERE id = ? AND tenant = ?')->execute([$_POST['name'], $id, $_SESSION['tenant']]);
        header('Location: /deals/card.php?id=' . $id, true, 302);
        exit;
    case 'confirm_delete': // by GET, as they used to
        db()->prepare('DELETE FROM deals WHERE id = ? AND tenant = ?')->execute($mine);
        header('Location: /', true, 302);
        exit;
}
$found = db()->prepare('SELECT * FROM deals WHERE id = ? AND tenant = ?');
$found->execute($mine);
$deal = $found->fetch();
if (!$deal) { // errors come with status 200
    page('Error', '<p id="error">No such deal.</p>');
    exit;
}
page($deal['name'], '<form method="post" action="/deals/card.php"><input type="hidden" name="action" value="update"><input type="hidden" name="csrf">'
    . '<input type="hidden" name="id" value="' . $id . '"><label>Name <input name="name" value="' . h($deal['name']) . '"></label><button id="save">Save</button></form>'
    . '<a id="delete" href="/deals/card.php?action=confirm_delete&amp;id=' . $id . '">Delete</a>');
