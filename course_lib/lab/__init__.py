"""The lab: start services, load them, break them and watch them, in real or in virtual time.

Notebooks and tests may import anything from here; no room of the library does.
"""

import os

# A broken connection is no news in a lab. gRPC looks when it is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
