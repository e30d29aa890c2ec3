// tests/interop/peers/Peer.java: the end of the interop matrix in Java's JSSE. Server: sends back what comes. Client:
// sends a file in parts, expects each back. Keys and certificates come as PKCS#12 beside the PEM files.
import java.io.*;
import java.net.InetAddress;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.*;
import javax.net.ssl.*;

public class Peer {
    static final Map<String, String> options = new HashMap<>();

    static SSLContext context() throws Exception {
        KeyStore trust = KeyStore.getInstance("PKCS12");
        trust.load(null, null);
        try (InputStream in = new FileInputStream(options.get("ca"))) {
            trust.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trusted = TrustManagerFactory.getInstance("PKIX");
        trusted.init(trust);
        KeyManager[] keys = null;
        if (options.containsKey("cert")) {
            KeyStore own = KeyStore.getInstance("PKCS12");
            char[] password = "interop".toCharArray();
            try (InputStream in = new FileInputStream(options.get("cert").replace(".pem", ".p12"))) {
                own.load(in, password);
            }
            KeyManagerFactory factory = KeyManagerFactory.getInstance("PKIX");
            factory.init(own, password);
            keys = factory.getKeyManagers();
        }
        SSLContext c = SSLContext.getInstance("TLSv1.3");
        c.init(keys, trusted.getTrustManagers(), null);
        return c;
    }

    static void serve(SSLContext c, int port) throws Exception {
        SSLServerSocket listener = (SSLServerSocket) c.getServerSocketFactory().createServerSocket(port, 8, InetAddress.getByName("127.0.0.1"));
        listener.setEnabledProtocols(new String[] {"TLSv1.3"});
        listener.setNeedClientAuth(options.containsKey("require-client-cert"));
        if (options.containsKey("suite")) listener.setEnabledCipherSuites(new String[] {options.get("suite")});
        while (true) {
            try (SSLSocket peer = (SSLSocket) listener.accept()) {
                peer.setSoTimeout(15000);
                peer.getInputStream().transferTo(peer.getOutputStream());
            } catch (IOException why) {
                System.err.println(why.getMessage());
            }
        }
    }

    static void connect(SSLContext c, int port, byte[] data) throws Exception {
        try (SSLSocket peer = (SSLSocket) c.getSocketFactory().createSocket()) {
            peer.connect(new java.net.InetSocketAddress(InetAddress.getByAddress("localhost", new byte[] {127, 0, 0, 1}), port), 10000);
            peer.setSoTimeout(15000);
            peer.setEnabledProtocols(new String[] {"TLSv1.3"});
            if (options.containsKey("suite")) peer.setEnabledCipherSuites(new String[] {options.get("suite")});
            SSLParameters p = peer.getSSLParameters();
            p.setEndpointIdentificationAlgorithm("HTTPS");
            peer.setSSLParameters(p);
            peer.startHandshake();
            int piece = Math.min(data.length / 4, 32768);
            for (int at = 0; at < data.length; at += piece) {
                byte[] part = Arrays.copyOfRange(data, at, at + piece);
                peer.getOutputStream().write(part);
                if (!Arrays.equals(peer.getInputStream().readNBytes(piece), part)) throw new IOException("the echo is not what was sent");
            }
            System.out.println(peer.getSession().getProtocol() + " " + peer.getSession().getCipherSuite());
        }
    }

    public static void main(String[] args) throws Exception {
        for (int i = 1; i < args.length; i++) {
            String name = args[i].substring(2);
            boolean isFlag = i + 1 == args.length || args[i + 1].startsWith("--");
            options.put(name, isFlag ? "" : args[++i]);
        }
        if (options.containsKey("group")) System.setProperty("jdk.tls.namedGroups", options.get("group"));
        int port = Integer.parseInt(options.get("port"));
        try {
            SSLContext c = context();
            if (args[0].equals("server")) serve(c, port);
            byte[] data = Files.readAllBytes(Path.of(options.get("data")));
            connect(c, port, data);
            if (options.containsKey("resume")) connect(c, port, data);
        } catch (Exception why) {
            System.err.println(why);
            System.exit(1);
        }
    }
}
