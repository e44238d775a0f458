"""Sign a Decision Card as its buyer would, with a key made for the occasion.

Runs in the producers' environment as a script, because the canonical form and the signature need libraries that only
the producers depend on. Reads `{"card": …, "key_url": …, "signed_at": …}` from standard input and writes
`{"attestation": …, "public_key": …}` to standard output, the key in Base64.
"""

import base64
import hashlib
import json
import sys

# These two exist only in the producers' environment.
import rfc8785  # type: ignore[import-not-found, unused-ignore]
from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # type: ignore[import-not-found, unused-ignore]
    Ed25519PrivateKey,
)


def main() -> None:
    """One card in, one attestation out."""
    request = json.load(sys.stdin)
    key = Ed25519PrivateKey.generate()
    metadata = {
        "algorithm": "ed25519",
        "hash_profile": "jcs-rfc8785-v1",
        "key_url": request["key_url"],
        "signed_at": request["signed_at"],
        "signed_hash": "sha256:" + hashlib.sha256(rfc8785.dumps(request["card"])).hexdigest(),
    }
    signature = key.sign(b"hash-attestation/v2\x00" + rfc8785.dumps(metadata))
    json.dump(
        {
            "attestation": {**metadata, "signature": base64.b64encode(signature).decode()},
            "public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
