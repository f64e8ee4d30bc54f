//! Text of `connstorm serve KIND --help` about the behaviours.

pub(super) const TCP: &str = "\
Behaviours:
  echo                sends back what it receives
  sink                receives and sends nothing
  raw(BYTES)          sends bytes at once, such as 'raw(SSH-2.0-x\\r\\n)'; also \\n, \\\\ and \\x00
  discard             closes at once: the target's side keeps TIME_WAIT
  close-after(TIME)   echoes, and closes so long after it accepted, such as close-after(2s)
  close-after(SIZE)   echoes, and closes when so much has come, such as close-after(64KiB)
  reset               sends RST right after accepting
  silent              accepts, and neither reads nor writes
  full-backlog        listens, and never accepts
  slow-accept(RATE)   accepts no faster than that, such as slow-accept(10/s), and echoes

Examples:
  connstorm serve tcp
  connstorm serve tcp --listen 127.0.0.1:9000,127.0.0.2:9000 \\
    --listen '[::1]:9000'
  connstorm serve tcp --listen 127.0.0.1:0 --behaviour discard --duration 30s \\
    --json -
  connstorm serve tcp --behaviour full-backlog --backlog 16
  connstorm serve tcp --behaviour 'close-after(2s)'

Ctrl-C ends it, with exit code 0.";

pub(super) const TLS: &str = "\
Behaviours: those of `connstorm serve tcp`, inside TLS, and
  alert(N)            answers the handshake with a fatal alert, such as alert(40), handshake_failure
  plain-text-reply    answers the handshake with 'HTTP/1.1 400' in plain text

The certificate is made at start and signed by itself. A client that is to verify it trusts the file
that --write-ca writes.

Examples:
  connstorm serve tls --write-ca ca.pem
  connstorm serve tls --certificate expired
  connstorm serve tls --behaviour 'alert(40)'

Ctrl-C ends it, with exit code 0.";

pub(super) const HTTP: &str = "\
Behaviours:
  echo                answers 200 with the body of the request
  reply(STATUS, SIZE, chunked)
                      answers so, such as reply(503) or reply(200, 64KiB, chunked)
  close-after(N)      echoes, and closes after so many requests
  close-after(TIME)   echoes, and closes so long after it accepted
  slow(TIME)          answers so long after the request came
  close-before-reply  reads the request and closes
  http-1.0            answers by HTTP/1.0, and closes
  raw(BYTES)          sends bytes at once, such as 'raw(SSH-2.0-x\\r\\n)'; also \\n, \\\\ and \\x00
  discard, reset, silent, full-backlog, slow-accept(RATE)
                      as `connstorm serve tcp` does
  alert(N), plain-text-reply
                      with https: as `connstorm serve tls` does

Examples:
  connstorm serve http
  connstorm serve http --behaviour 'reply(200, 1KiB)'
  connstorm serve https --write-ca ca.pem --name example.test

Ctrl-C ends it, with exit code 0.";

pub(super) const WS: &str = "\
Behaviours:
  echo                sends each message back
  sink                receives messages and sends none
  push(TIME)          sends each connection, so often, a text such as {\"seq\":1,\"now_us\":1700000000000000}:
                      a number from 1, and the time in microseconds since 1970
  broadcast           sends each message to all other connections
  close-after(N)      echoes, and closes with code 1000 after so many messages
  close-after(TIME)   echoes, and closes with code 1000 so long after it accepted
  slow(TIME)          answers the handshake so long after it came, and echoes
  reject(STATUS)      answers the handshake with this status, such as reject(403)
  wrong-accept-key    answers with the Sec-WebSocket-Accept of another handshake, and echoes
  unrequested-subprotocol, unrequested-extension
                      answers with one that nobody asked for, and echoes
  http                answers with 200 and a page, as a plain HTTP server
  http-1.0            answers by HTTP/1.0, and closes
  close-before-reply  reads the request and closes
  raw(BYTES)          sends bytes at once, such as 'raw(-ERR\\r\\n)'; also \\n, \\\\ and \\x00
  discard, reset, silent, full-backlog, slow-accept(RATE)
                      as `connstorm serve tcp` does
  alert(N), plain-text-reply
                      with wss: as `connstorm serve tls` does

The first subprotocol that a client offers is agreed to. Extensions are not offered: messages are never
compressed. A message of more than 16 MiB is refused with code 1009.

Examples:
  connstorm serve ws
  connstorm serve ws --behaviour 'push(1s)' --json counters.json
  connstorm serve wss --write-ca ca.pem --behaviour broadcast

Ctrl-C ends it, with exit code 0.";
