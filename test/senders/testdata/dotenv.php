<?php
// The lines of a .env file, as frameworks read them.
function dotenv(string $file): array {
    $out = [];
    foreach (file($file, FILE_IGNORE_NEW_LINES | FILE_SKIP_EMPTY_LINES) as $line) {
        [$k, $v] = explode('=', $line, 2);
        if (strlen($v) > 1 && $v[0] === '"') {
            $v = stripcslashes(substr($v, 1, -1));
        }
        $out[$k] = $v === 'null' ? null : $v;
    }
    return $out;
}
