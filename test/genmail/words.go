package genmail

var firstNames = []string{"James", "Mary", "John", "Patricia", "Robert", "Jennifer", "Michael", "Linda", "W" +
	"illiam", "Elizabeth",
	"David", "Barbara", "Richard", "Susan", "Joseph", "Jessica", "Thomas", "Sarah", "Charles", "Karen", "C" +
		"hristopher", "Nancy",
	"Daniel", "Lisa", "Matthew", "Betty", "Anthony", "Margaret", "Mark", "Sandra", "Andrew", "Ashley", "Paul", "K" +
		"evin", "Brian",
	"George", "Edward", "Jeff", "Steve", "Peter", "Martin", "Chris", "Mike", "Alex", "Anna", "Julia", "Tom", "T" +
		"im", "Kate", "Phillip"}

var lastNames = []string{"Smith", "Johnson", "Williams", "Brown", "Jones", "Garcia", "Miller", "Davis", "W" +
	"ilson", "Anderson",
	"Taylor", "Moore", "Jackson", "Martin", "Lee", "Thompson", "White", "Harris", "Clark", "Lewis", "Robinson",
	"Walker", "Young",
	"Allen", "King", "Wright", "Scott", "Hill", "Green", "Adams", "Baker", "Nelson", "Carter", "Mitchell", "R" +
		"oberts", "Turner"}

var domains = []string{"example.com", "gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "example.org",
	"example.net", "mail.example.com",
	"acme.example", "aol.com", "msn.com", "gmx.de", "web.de", "example.co.uk", "corp.example.com", "s" +
		"ourceforge.net", "linux.example.org"}

var hosts = []string{"mail.example.com", "smtp.example.com", "mx1.example.org", "mail-yw1-f171.google.com", "m" +
	"ail-ed1-x52d.google.com", "localhost",
	"localhost.localdomain", "mx.example.net", "relay.example.com", "mail.linux.example.org", "l" +
		"ists.example.org", "smtp-out.example.net",
	"mailhost.example.co.uk", "webmail.example.com", "NAM12-BN8-obe.outbound.protection.outlook.com", "s" +
		"erver01.example.net", "[127.0.0.1]"}

var nouns = []string{"report", "meeting", "project", "schedule", "contract", "agreement", "budget", "server",
	"network", "software", "update",
	"release", "driver", "board", "device", "system", "file", "document", "question", "problem", "version", "p" +
		"rice", "market", "energy",
	"power", "company", "customer", "account", "service", "payment", "order", "list", "group", "office", "i" +
		"nformation", "radio", "signal",
	"sample", "rate", "image", "kernel", "module", "package", "build", "test", "error", "message", "address", "w" +
		"ebsite", "business",
	"management", "review", "interview", "presentation", "conference", "phone call", "travel", "plan", "request",
	"change", "configuration",
	"performance", "interface", "memory", "database", "password", "security", "money", "transaction", "bank", "t" +
		"rading", "position", "deal"}

var subjects = []string{"%", "% and %", "Question about the %", "the new % for %", "Problem with %", "Your % " +
	"request", "% update",
	"Draft % attached", "Meeting about the %", "% - please review", "How to use % with the %", "Fix the % in %",
	"Add support for %",
	"Important information about your %", "Weekly % for the %", "Add % to the %", "Remove the old %", "Update " +
		"the % of the %"}

var greetings = []string{"Hi %,", "Hello %,", "Dear %,", "%,", "Hi all,", "Hello,", "Good morning,", "Hi,", "D" +
	"ear Sir or Madam,", "Hey %,"}

var closings = []string{"Regards,", "Best regards,", "Thanks,", "Thank you,", "Cheers,", "Sincerely,", "Kind " +
	"regards,", "Best,", "Thanks again,",
	"Many thanks,", "Yours sincerely,", "Let me know if you have any questions.\n\nThanks,"}

var sentences = []string{
	"Please let me know if you have any questions or if there is anything else that I can do.",
	"I am attaching the latest % for your review.", "We will need to have the % by the end of the week.",
	"I think that we should be able to get this done before the % next month.",
	"Could you please send me a copy of the % as soon as possible?", "I would like to schedule a % with you to " +
		"discuss the %.",
	"The % is not working as expected, and I am not sure what the problem is.", "There are several issues with " +
		"the % that need to be resolved.",
	"It would be great if you could take a look at this and let me know what you think.",
	"I have not heard back from them about the %, but I will follow up with them today.",
	"As you may know, the company has been working on the % for some time.", "Please find attached the % that we " +
		"discussed on the phone.",
	"This should give us more than enough time to finish the %.", "However, I do not believe that this will be a " +
		"problem for the %.",
	"If you have already received this message, please disregard it.", "We have been trying to find out what " +
		"happened with the %.",
	"You can find more information about this on the website: http://www.example.com/", "I tried to install the " +
		"% but I get the following error:",
	"What is the best way to do this with the current version?", "Has anyone else had the same problem with the " +
		"%?",
	"For some reason it does not seem to work when I use the other %.", "The first thing that we have to do is " +
		"to check the %.",
	"I was wondering whether there is a way to change the % without having to restart the %.",
	"This is because the % does not have the right permissions.", "In order to do that you will need to install " +
		"the latest version of the %.",
	"It looks like there is something wrong with the % on this machine.", "I have been using it for a couple of " +
		"years now and it works very well.",
	"They said that it would take at least two weeks before they could have an answer.",
	"We are looking forward to working with you on this %.", "Thanks for your help with this, I really " +
		"appreciate it.",
	"One of the things that I would like to know is how much it would cost.", "The other question is whether or " +
		"not we should use the same %.",
	"I will be out of the office from Monday until Wednesday and will have limited access to email.",
	"Each of the people on the list should have received a copy.", "There will be a conference call tomorrow at " +
		"10:00 AM to go over the %.",
	"You should be able to see the results after you run it again.", "Make sure that you have the correct " +
		"settings before you start.",
	"According to the %, the total amount is more than $%.", "This message was sent to you because you are " +
		"subscribed to the % list.",
	"Click here to view this message in your browser.", "Your account has been suspended because of unusual " +
		"activity.",
	"You must verify your information within 24 hours or your account will be closed.", "To stop receiving these " +
		"emails, click on the link below.",
	"If you are interested in this opportunity, please contact me as soon as possible.", "We offer the best " +
		"prices on the market, with free shipping on all orders.",
	"It does not matter which one you choose, because they are all the same.", "When I was there last time, it " +
		"took about three hours.",
	"The patch below should fix this problem.", "With this change, the % can be used by other modules as well.",
	"There is no need to do this more than once.", "I do not see any reason why we should not use this.", "Does " +
		"this make sense to you?",
	"Let me know what you think about it.", "I agree with what you said about the %.", "Sorry for the late " +
		"reply, I was very busy with the %.",
	"The following is a list of the changes that were made since the last version.", "Any help would be " +
		"appreciated.",
	"This email and any files transmitted with it are confidential and intended solely for the use of the " +
		"individual or entity to whom they are addressed.",
	"If you are not the intended recipient, please delete this message and notify the sender immediately.",
	"All of our products come with a 30 day money back guarantee.", "Please do not reply to this message, as " +
		"this mailbox is not monitored.",
	"There was an error while processing your request.", "Where can I find the documentation for the %?",
	"I just wanted to make sure that everyone is aware of the new % before it goes into effect.",
}

var codeLines = []string{"\tif (ret < 0) {", "\t\treturn ret;", "\t}", "}", "", "#include <linux/module.h>",
	"\tint ret;", "static int %s_probe(struct device *dev)", "{",
	"\tdev_err(dev, \"failed to read value: %d\\n\", ret);", "\treturn 0;", "\tfor (i = 0; i < count; i++) {",
	"\t\tcontinue;", "\telse", "\t\tbreak;",
	"        self.assertEqual(response.status, 200)", "    def __init__(self, name):", "    return None", "i" +
		"mport os", "        if not value:",
	"/* SPDX-License-Identifier: GPL-2.0 */", "\tspin_lock_irqsave(&priv->lock, flags);", "\tm" +
		"utex_unlock(&data->lock);", "\tstatus = \"okay\";",
	"std::string name = object.getName();", "    auto value = std::make_shared<Value>(path, interface);", "    " +
		"for (const auto& item : items)", "    {", "    }",
	"DEPENDS += \"systemd\"", "SRC_URI = \"git://github.com/example/project.git\"", "\tcompatible = " +
		"\"vendor,device\";", "\treg = <0x48>;", "\tconst char *name;"}

var appTitles = []string{"Welcome to our service", "Confirm your email address", "Reset your password", "Your " +
	"account has been created", "Verify your account",
	"Your order has been shipped", "Your monthly statement is ready", "New sign-in to your account", "You have a " +
		"new message", "Your subscription is about to expire",
	"Invitation to join the team", "Payment received", "Your weekly summary", "Security alert", "Action " +
		"required: verify your information", "Special offer just for you"}

var appTexts = []string{"Thank you for signing up! Please confirm your email address by clicking on the link " +
	"below.",
	"We received a request to reset your password. Click the link below to choose a new password.",
	"Your account has been created successfully. You can now log in with your email address and password.",
	"A new sign-in to your account was detected. If this was you, you don't need to do anything.",
	"You have been invited to join a project. Click the button below to accept the invitation.",
	"Your payment has been received. You can view your receipt online at any time.",
	"Your order has been shipped and should arrive within 3 to 5 business days. You can track your package with " +
		"the link below.",
	"Someone left a comment on your post. Click below to view the comment and reply.",
	"Your free trial ends soon. Upgrade now to keep using all of the features without interruption.",
	"We have updated our terms of service and our privacy policy. Please take a moment to review them."}
