<?php
require __DIR__ . '/lib.php';
$rows = '';
$found = db()->prepare('SELECT * FROM deals WHERE tenant = ? AND name LIKE ? ORDER BY id');
$found->execute([$_SESSION['tenant'], '%' . ($_GET['q'] ?? '') . '%']);
foreach ($found as $deal) {
    $rows .= '<li><a href="/deals/card.php?id=' . $deal['id'] . '">' . h($deal['name']) . '</a></li>';
}
page('Deals', '<ul id="deals">' . $rows . '</ul>'
    . '<form method="post" action="/deals/card.php"><input type="hidden" name="action" value="add"><input type="hidden" name="csrf">'
    . '<label>Name <input name="name"></label><label>Amount <input name="amount" value="1"></label><button id="add">Add</button></form>');
