# A Django application: the settings module is the snippet.
import django
from django.core.mail import send_mail

django.setup()
assert send_mail("Hello", "Caught by Eider.", "app@example.com", ["ada@example.com"]) == 1
