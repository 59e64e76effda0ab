"""Our own certificates over the years: at every moment everybody who has the bundle accepts them."""

from datetime import timedelta

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from autoscaler.adapter.certificates import Keys, utc_now, with_authority, with_certificate

NAMES = ["adapter.vllm-autoscaler.svc", "adapter.vllm-autoscaler.svc.cluster.local"]
START = utc_now()


def accepted(keys, bundle, now):
    """Whether a client that has the bundle accepts the serving certificate, as TLS would judge."""
    store = Store(x509.load_pem_x509_certificates(bundle.encode()))
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(NAMES[0]))
    try:
        verifier.verify(x509.load_pem_x509_certificate(keys.tls_crt.encode()), [])
    except x509.verification.VerificationError:
        return False
    return True


def count(pem):
    return pem.count("BEGIN CERTIFICATE")


def issued(now=START, keys=None):
    return with_certificate(with_authority(keys or Keys(), now), NAMES, now)


def test_a_fresh_start_makes_an_authority_and_a_certificate_that_it_vouches_for():
    keys = issued()
    assert accepted(keys, keys.ca_crt, START)
    assert "PRIVATE KEY" in keys.ca_key
    assert keys.ca_key != keys.tls_key


def test_running_again_changes_nothing():
    keys = issued()
    assert issued(START + timedelta(days=1), keys) == keys


def test_a_secret_keeps_all_of_it():
    keys = issued()
    assert Keys.of_secret(keys.as_secret()) == keys


def test_years_of_runs_with_a_crash_between_every_two_steps():
    """The cluster keeps the bundle of the step before; a run ends after any step and begins anew."""
    keys = issued()
    bundle, authorities, certificates = keys.ca_crt, {keys.ca_crt}, {keys.tls_crt}
    for run in range(1, 400):
        now = START + timedelta(days=5 * run)
        keys = with_authority(keys, now)
        assert accepted(keys, bundle, now)
        if run % 3 == 0:
            continue  # the run ended before the cluster heard of the bundle
        bundle = keys.ca_crt
        assert accepted(keys, bundle, now)
        keys = with_certificate(keys, NAMES, now)
        assert accepted(keys, bundle, now)
        assert count(bundle) <= 2
        authorities.add(keys.ca_crt)
        certificates.add(keys.tls_crt)
    assert len(authorities) > 4
    assert len(certificates) > 30


def test_other_names_make_another_certificate_of_the_same_authority():
    keys = issued()
    other = with_certificate(keys, ["other.svc", "127.0.0.1"], START)
    assert (other.ca_crt, other.tls_crt == keys.tls_crt) == (keys.ca_crt, False)
    certificate = x509.load_pem_x509_certificate(other.tls_crt.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["other.svc", "127.0.0.1"]


def test_what_was_broken_is_made_anew():
    keys = issued()
    for broken in (
        Keys(keys.ca_crt, "nonsense", keys.tls_crt, keys.tls_key),
        Keys("nonsense", keys.ca_key, keys.tls_crt, keys.tls_key),
        Keys(keys.ca_crt, keys.ca_key, keys.tls_crt, issued().tls_key),
        Keys(keys.ca_crt, keys.ca_key, "", ""),
    ):
        repaired = issued(keys=broken)
        assert accepted(repaired, repaired.ca_crt, START)


def test_the_certificate_serves_and_vouches_for_nothing():
    certificate = x509.load_pem_x509_certificate(issued().tls_crt.encode())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
