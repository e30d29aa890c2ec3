/* tests/pkcs11/Https.java: HttpsURLConnection with the key of a PKCS#11 token: prints what the server answers.
 *
 *     java Https.java CONFIG PIN URL, with javax.net.ssl.trustStore naming whom to trust */
import java.net.URL;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

class Https {
    public static void main(String[] args) throws Exception {
        Provider module = Security.getProvider("SunPKCS11").configure(args[0]);
        Security.addProvider(module); // behind the others: only what needs the token's key goes there
        KeyStore token = KeyStore.getInstance("PKCS11", module);
        token.load(null, args[1].isEmpty() ? null : args[1].toCharArray());
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(token, null);
        SSLContext context = SSLContext.getInstance("TLSv1.3");
        context.init(keys.getKeyManagers(), null, null);
        HttpsURLConnection connection = (HttpsURLConnection) new URL(args[2]).openConnection();
        connection.setSSLSocketFactory(context.getSocketFactory());
        System.out.write(connection.getInputStream().readAllBytes());
        System.out.flush();
        System.out.println(connection.getCipherSuite());
    }
}
