"""Attributes of directories that hold secrets. They are never read."""

from __future__ import annotations

_SECRETS = frozenset(
    name.lower()
    for name in (
        "authPassword",
        "currentValue",
        "dBCSPwd",
        "initialAuthIncoming",
        "initialAuthOutgoing",
        "krbPrincipalKey",
        "lmPwdHistory",
        "ms-Mcs-AdmPwd",
        "ms-Mcs-AdmPwdHistory",
        "msDS-ExecuteScriptPassword",
        "msDS-ManagedPassword",
        "msDS-ManagedPasswordId",
        "msFVE-KeyPackage",
        "msFVE-RecoveryPassword",
        "msLAPS-EncryptedDSRMPassword",
        "msLAPS-EncryptedDSRMPasswordHistory",
        "msLAPS-EncryptedPassword",
        "msLAPS-EncryptedPasswordHistory",
        "msLAPS-Password",
        "ntPwdHistory",
        "olcRootPW",
        "priorValue",
        "pwdHistory",
        "sambaLMPassword",
        "sambaNTPassword",
        "sambaPasswordHistory",
        "supplementalCredentials",
        "trustAuthIncoming",
        "trustAuthOutgoing",
        "unicodePwd",
        "userPassword",
        "userPKCS12",
    )
)


def holds_secrets(attribute: str) -> bool:
    """Whether an attribute holds passwords or keys; letter case and options such as `;binary` do not count."""
    return attribute.partition(";")[0].lower() in _SECRETS
