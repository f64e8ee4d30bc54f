# Every script of the project. `just` lists them; each line below is also what you can type without just.

# Lists what there is
default:
    @just --list

# Runs all tests, or those whose names contain FILTER; installs what they talk to, as root on Debian
test *FILTER:
    scripts/test {{FILTER}}

# Opens the HTML report in a real Chromium
test-browser:
    scripts/test-browser

# Does everything that has to hold before a change lands
ci:
    .ci/run

# Builds the crate from its package alone
check-package:
    scripts/check-package

# Makes a static binary and a Debian package, with man pages and completions
package *FOLDER:
    scripts/package {{FOLDER}}

# Checks the documents: links, generated pages, command lines, workflows
docs:
    cargo test --locked --test documents --test readme
    scripts/check-workflows

# Writes the generated pages of docs/reference/ again
docs-update:
    UPDATE_DOCS=1 cargo test --locked --test documents

# Walks through a stranger's first hour in a fresh root, from the package to a failing run explained (as root)
walk *PACKAGE:
    scripts/walk {{PACKAGE}}

# Makes the README's picture from a real run
picture:
    scripts/picture

# Prints the text of a release, from CHANGELOG.md
release-notes VERSION:
    scripts/release-notes {{VERSION}}

# Makes every row of docs/performance.md again, beside other programs (on a quiet machine; an hour)
bench *ARGS:
    cargo build --release --locked
    python3 benches/table.py --install {{ARGS}}

# Counts the instructions of a connection, against the recorded baseline
instructions *ARGS:
    cargo build --release --locked
    python3 benches/instructions.py {{ARGS}}

# Compares a short TCP connection with a plain C loop
bench-tcp *ARGS:
    python3 benches/tcp_short.py {{ARGS}}

# Measures how soon runs end: after their time at overload, and after a signal
bench-ends *ARGS:
    python3 benches/ends.py {{ARGS}}

# Measures WebSockets: held, opened, echoing, beside others
bench-websocket *ARGS:
    python3 benches/websocket.py {{ARGS}}

# Compares with other load generators: cost, memory, and what each says when ports run out
bench-peers *ARGS:
    python3 benches/peers.py {{ARGS}}

# Runs for five minutes from one source address, TIME_WAIT and all
bench-churn *ARGS:
    python3 benches/churn.py {{ARGS}}

# Runs at half the largest rate for half an hour
bench-steady *ARGS:
    python3 benches/steady.py {{ARGS}}

# Measures what a look at very many sockets delays: Ctrl-C, abort_when, the live lines, the exporter
bench-looks *ARGS:
    python3 benches/looks.py {{ARGS}}

# Shows by system call where the CPU time of a connection goes
bench-where *ARGS:
    python3 benches/where.py {{ARGS}}

# Counts atomics, allocations and futexes of a connection
bench-shared *ARGS:
    python3 benches/shared.py {{ARGS}}

# Measures what watching 200,000 sockets costs
bench-observe:
    cargo bench --locked --bench observe_cost

# Shows connstorm watch beside other programs that run out of ports
bench-watch *ARGS:
    python3 benches/watch_programs.py {{ARGS}}

# Fuzzes one parser for a minute: first_bytes, http_reply, template, websocket
fuzz TARGET:
    cargo +nightly fuzz run {{TARGET}} -- -max_total_time=60
