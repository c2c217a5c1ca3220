"""What schemathesis can't know by itself: how bytes of a component are sent."""

import schemathesis


@schemathesis.serializer("application/wasm")
def wasm(context, value):
    return value if isinstance(value, (bytes, str)) else str(value).encode()
