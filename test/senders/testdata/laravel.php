<?php
// Laravel is in no package; it hands these variables to Symfony's mailer in
// this way, in version 11 by MAIL_SCHEME and before by MAIL_ENCRYPTION.
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';
require __DIR__ . '/dotenv.php';

use Symfony\Component\Mailer\Mailer;
use Symfony\Component\Mailer\Transport\Dsn;
use Symfony\Component\Mailer\Transport\Smtp\EsmtpTransportFactory;
use Symfony\Component\Mime\Email;

$env = dotenv('.env');
$old = !empty($env['MAIL_ENCRYPTION']) && $env['MAIL_ENCRYPTION'] === 'ssl' ? 'smtps' : 'smtp';
if ($env['MAIL_MAILER'] !== 'smtp' || $env['MAIL_SCHEME'] !== $old) {
    fwrite(STDERR, "old and new Laravel would differ\n");
    exit(1);
}
$dsn = new Dsn($env['MAIL_SCHEME'], $env['MAIL_HOST'], $env['MAIL_USERNAME'], $env['MAIL_PASSWORD'], (int) $env['MAIL_PORT']);
$mailer = new Mailer((new EsmtpTransportFactory())->create($dsn));
$mailer->send((new Email())->from('app@example.com')->to('ada@example.com')->subject('Hello')->text('Caught by Eider.'));
