<?php
// A Symfony application: the mailer of the snippet's DSN.
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';
require __DIR__ . '/dotenv.php';

use Symfony\Component\Mailer\Mailer;
use Symfony\Component\Mailer\Transport;
use Symfony\Component\Mime\Email;

$mailer = new Mailer(Transport::fromDsn(dotenv('.env')['MAILER_DSN']));
$mailer->send((new Email())->from('app@example.com')->to('ada@example.com')->subject('Hello')->text('Caught by Eider.'));
