// tests/interop/peers/botan.cpp: the end of the interop matrix on Botan 3: its command line program sets
// neither client CAs nor PSKs, and keeps no sessions.
#include <botan/auto_rng.h>
#include <botan/certstor.h>
#include <botan/credentials_manager.h>
#include <botan/data_src.h>
#include <botan/pkcs8.h>
#include <botan/tls_callbacks.h>
#include <botan/tls_client.h>
#include <botan/tls_external_psk.h>
#include <botan/tls_policy.h>
#include <botan/tls_server.h>
#include <botan/tls_session_manager_memory.h>
#include <botan/x509cert.h>

#include <deque>
#include <map>

#include "peer.h"

using namespace Botan;

namespace
{

struct peer_options o;

class Credentials : public Credentials_Manager
{
  public:
    Credentials() : m_ca(X509_Certificate(o.ca))
    {
        if (o.cert == nullptr)
            return;
        DataSource_Stream key(o.key);
        m_cert = std::make_unique<X509_Certificate>(o.cert);
        m_key = PKCS8::load_key(key);
    }

    std::vector<Certificate_Store *> trusted_certificate_authorities(const std::string &type,
                                                                     const std::string &) override
    {
        if (type == "tls-server" && !o.require_client_cert)
            return {};
        return {&m_ca};
    }

    std::vector<X509_Certificate> find_cert_chain(const std::vector<std::string> &types,
                                                  const std::vector<AlgorithmIdentifier> &,
                                                  const std::vector<X509_DN> &, const std::string &,
                                                  const std::string &) override
    {
        if (m_key == nullptr || std::find(types.begin(), types.end(), m_key->algo_name()) == types.end())
            return {};
        return {*m_cert};
    }

    std::shared_ptr<Private_Key> private_key_for(const X509_Certificate &, const std::string &,
                                                 const std::string &) override
    {
        return m_key;
    }

    std::vector<TLS::ExternalPSK> find_preshared_keys(std::string_view, TLS::Connection_Side,
                                                      const std::vector<std::string> &identities,
                                                      const std::optional<std::string> &) override
    {
        std::vector<TLS::ExternalPSK> keys;
        const std::string identity(o.psk_identity);
        if (o.psk_len > 0 && (identities.empty() ||
                              std::find(identities.begin(), identities.end(), identity) != identities.end()))
            keys.emplace_back(identity, "SHA-256", secure_vector<uint8_t>(o.psk, o.psk + o.psk_len));
        return keys;
    }

  private:
    Certificate_Store_In_Memory m_ca;
    std::unique_ptr<X509_Certificate> m_cert;
    std::shared_ptr<Private_Key> m_key;
};

// What arrives is kept until it is read; what is to go is sent at once.
class Connection : public TLS::Callbacks
{
  public:
    explicit Connection(int fd) : m_fd(fd)
    {
    }

    void tls_emit_data(std::span<const uint8_t> data) override
    {
        for (size_t at = 0; at < data.size();) {
            ssize_t n = send(m_fd, data.data() + at, data.size() - at, MSG_NOSIGNAL);
            if (n <= 0)
                return;
            at += static_cast<size_t>(n);
        }
    }
    void tls_record_received(uint64_t, std::span<const uint8_t> data) override
    {
        m_in.insert(m_in.end(), data.begin(), data.end());
    }
    void tls_alert(TLS::Alert alert) override
    {
        fprintf(stderr, "alert: %s\n", alert.type_string().c_str());
    }
    void tls_session_established(const TLS::Session_Summary &session) override
    {
        printf("%s %s resumed %d\n", session.version().to_string().c_str(),
               session.ciphersuite().to_string().c_str(), session.was_resumption());
    }

    // One recv, and what comes of it; false at the end.
    bool receive()
    {
        uint8_t buf[PEER_PART];
        ssize_t n = recv(m_fd, buf, sizeof buf, 0);
        if (n > 0)
            channel->received_data(buf, static_cast<size_t>(n));
        return n > 0 && !channel->is_closed();
    }

    int read(unsigned char *buf, int cap)
    {
        while (m_in.empty())
            if (!receive() && m_in.empty())
                return 0;
        int n = static_cast<int>(std::min(m_in.size(), static_cast<size_t>(cap)));
        std::copy_n(m_in.begin(), n, buf);
        m_in.erase(m_in.begin(), m_in.begin() + n);
        return n;
    }

    std::unique_ptr<TLS::Channel> channel;

  private:
    int m_fd;
    std::deque<uint8_t> m_in;
};

int botan_read(void *tls, unsigned char *buf, int cap)
{
    return static_cast<Connection *>(tls)->read(buf, cap);
}

int botan_write(void *tls, const unsigned char *data, int len)
{
    static_cast<Connection *>(tls)->channel->send(data, static_cast<size_t>(len));
    return len;
}

std::shared_ptr<TLS::Text_Policy> policy()
{
    static const std::map<std::string, std::string> groups = {{"X25519MLKEM768", "x25519/ML-KEM-768"},
                                                              {"SecP256r1MLKEM768", "secp256r1/ML-KEM-768"},
                                                              {"SecP384r1MLKEM1024", "secp384r1/ML-KEM-1024"},
                                                              {"MLKEM1024", "ML-KEM-1024"}};
    static const std::map<std::string, std::string> suites = {
        {"TLS_AES_128_GCM_SHA256", "AES-128/GCM"},
        {"TLS_AES_256_GCM_SHA384", "AES-256/GCM"},
        {"TLS_CHACHA20_POLY1305_SHA256", "ChaCha20Poly1305"}};
    auto p = std::make_shared<TLS::Text_Policy>(
        "allow_tls12 = false\nallow_tls13 = true\nrequire_cert_revocation_info = false\n");
    const std::string group = o.group == nullptr          ? ""
                              : groups.count(o.group) > 0 ? groups.at(o.group)
                                                          : o.group;
    if (o.group != nullptr && !TLS::Group_Params::from_string(group).has_value())
        peer_die("TLS::Group_Params::from_string does not know", group.c_str());
    if (o.group != nullptr)
        p->set("key_exchange_groups", group);
    if (o.suite != nullptr)
        p->set("ciphers", suites.at(o.suite));
    if (o.require_client_cert)
        p->set("require_client_certificate_authentication", "true");
    return p;
}

struct Context {
    std::shared_ptr<RandomNumberGenerator> rng = std::make_shared<AutoSeeded_RNG>();
    std::shared_ptr<TLS::Session_Manager> sessions = std::make_shared<TLS::Session_Manager_In_Memory>(rng);
    std::shared_ptr<Credentials> credentials = std::make_shared<Credentials>();
    std::shared_ptr<TLS::Text_Policy> rules = policy();
};

void serve(const Context &c)
{
    int listener = peer_listen(&o);
    for (int fd; (fd = accept(listener, nullptr, nullptr)) >= 0; (void)close(fd)) {
        try {
            auto connection = std::make_shared<Connection>(fd);
            connection->channel =
                std::make_unique<TLS::Server>(connection, c.sessions, c.credentials, c.rules, c.rng);
            const struct peer_stream s = {connection.get(), botan_read, botan_write};
            peer_echo(&s);
            connection->channel->close();
            connection->channel.reset();
        } catch (const std::exception &why) {
            fprintf(stderr, "%s\n", why.what());
        }
    }
}

void talk(const Context &c)
{
    int fd = peer_connect(&o);
    auto connection = std::make_shared<Connection>(fd);
    connection->channel = std::make_unique<TLS::Client>(connection, c.sessions, c.credentials, c.rules, c.rng,
                                                        TLS::Server_Information("localhost", o.port));
    while (!connection->channel->is_active() && connection->receive()) {
    }
    const struct peer_stream s = {connection.get(), botan_read, botan_write};
    peer_talk(&s, &o);
    connection->channel->close();
    connection->channel.reset();
    (void)close(fd);
}

} // namespace

int main(int argc, char **argv)
{
    peer_options(&o, argc, argv);
    try {
        Context c;
        if (o.server)
            serve(c);
        talk(c);
        if (o.resume)
            talk(c);
    } catch (const std::exception &why) {
        fprintf(stderr, "%s\n", why.what());
        return 1;
    }
    return 0;
}
