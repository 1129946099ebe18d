// Spring Boot is in no package. It gives the properties to JavaMail in this
// way (MailSenderPropertiesConfiguration, JavaMailSenderImpl), and this is JavaMail.
import java.io.FileReader;
import java.util.Properties;
import javax.mail.Message;
import javax.mail.Session;
import javax.mail.Transport;
import javax.mail.internet.InternetAddress;
import javax.mail.internet.MimeMessage;

class Spring {
    public static void main(String[] args) throws Exception {
        Properties boot = new Properties(), mail = new Properties();
        boot.load(new FileReader("application.properties"));
        String prefix = "spring.mail.properties.";
        for (String k : boot.stringPropertyNames())
            if (k.startsWith(prefix)) mail.put(k.substring(prefix.length()), boot.getProperty(k));
        Session session = Session.getInstance(mail);
        MimeMessage m = new MimeMessage(session);
        m.setFrom(new InternetAddress("app@example.com"));
        m.setRecipient(Message.RecipientType.TO, new InternetAddress("ada@example.com"));
        m.setSubject("Hello");
        m.setText("Caught by Eider.");
        m.saveChanges();
        Transport t = session.getTransport("smtp");
        t.connect(boot.getProperty("spring.mail.host"), Integer.parseInt(boot.getProperty("spring.mail.port")),
            boot.getProperty("spring.mail.username"), boot.getProperty("spring.mail.password"));
        t.sendMessage(m, m.getAllRecipients());
        t.close();
    }
}
