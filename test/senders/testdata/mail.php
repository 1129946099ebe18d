<?php
// Any old PHP application.
exit(mail('ada@example.com', 'Hello', "Caught by Eider.\n", ['From' => 'app@example.com']) ? 0 : 1);
