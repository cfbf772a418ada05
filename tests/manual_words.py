# SPDX-License-Identifier: 0BSD
"""What the pages and README.md name exists: functions, options, values, pages, files; and the crates' tables are whole."""
import os
import re

README_MAX_LINES = 400

# All public items of the crates ws_stream_tungstenite 0.14.0 and ws_stream_wasm 0.7.4, as wsfile.7 has to have them, in
# the head of an item: that of the first table, then that of the second.
CRATES = (
    """
    WsStream WsStream::new Debug AsyncRead::poll_read AsyncRead::poll_read_vectored AsyncBufRead::poll_fill_buf consume
    AsyncWrite::poll_write AsyncWrite::poll_write_vectored AsyncWrite::poll_flush AsyncWrite::poll_close
    tokio::io::AsyncRead tokio::io::AsyncWrite tokio_io Observable::observe ObserveConfig WsEvent::Error
    WsEvent::CloseFrame WsEvent::Ping WsEvent::Pong WsEvent::Closed WsErr::Tungstenite WsErr::Io WsErr::Protocol
    WsErr::ReceivedText WsErr::Closed Display Error::source From
    """,
    """
    WsMeta WsMeta::connect WsMeta::close close_code close_reason WsMeta::ready_state WsStream::ready_state
    WsMeta::wrapped WsStream::wrapped WsMeta::buffered_amount WsMeta::extensions protocol url Observable Stream Sink
    WsStream::into_io WsStreamIo WsStreamIo::new Drop WsMessage::Binary WsMessage::Text TryFrom From AsRef WsMessage
    WsState::Connecting WsState::Open Closing Closed TryFrom<u16> WsState WsEvent::Open WsEvent::Error WsEvent::Closing
    WsEvent::Closed WsEvent::WsErr WsEvent::is_open is_err is_closing is_closed is_ws_err CloseEvent
    WsErr::InvalidWsState WsErr::ConnectionNotOpen WsErr::InvalidUrl InvalidCloseCode ReasonStringToLong
    WsErr::ConnectionFailed WsErr::InvalidEncoding WsErr::CantDecodeBlob WsErr::UnknownDataType tokio_io
    """,
)
# Names that begin like ours: other people's, and a variable of the environment in lower case.
FOREIGN = {"ws_stream_tungstenite", "ws_stream_wasm", "ws_proxy"}


def names_exist(manual, header, pages, readme):
    """Each word ws_… and WS_… is in the public headers, is a page, or begins a group of values (WS_EVENT bits)."""
    known = set(re.findall(r"\b(?:ws_|WS_)\w+", header)) | FOREIGN
    for name, page in pages.items():
        known |= {name.rpartition(".")[0]} | set(manual.names_of(page))
    for where, text in list(pages.items()) + [("README.md", readme)]:
        # Not the title, which is the page's name in capitals, nor variables of the environment.
        text = re.sub(r"^\.Dt .*|^\.(?:.* )?Ev .*", "", text, flags=re.M)
        for word in sorted(set(re.findall(r"(?<![\w/.-])(?:ws_|WS_)[A-Za-z0-9_]*\w", text))):
            manual.check(word in known or word.isupper() and any(name.startswith(word + "_") for name in known),
                         "%s names %s, which is not there" % (where, word))


def errors_agree(manual, header, pages):
    """Each errno that the header tells of a function stands in the page of that function."""
    page_of = {word: page for name, page in pages.items() if name.endswith(".3") for word in manual.names_of(page)}
    told = 0
    for comment, declaration in re.findall(r"/\*((?:(?!\*/).)*)\*/\nWS_EXPORT ([^;]*);", header, re.S):
        function = re.search(r"(\w+)\(", declaration).group(1)
        for word in sorted(set(re.findall(r"\bE[A-Z]{3,}\b", comment))):
            told += 1
            manual.check(re.search(r"\b%s\b" % word, page_of.get(function, "")),
                         "wsfile.h tells %s of %s, its page does not" % (word, function))
    manual.check(told >= 80, "only %d errnos found in wsfile.h" % told)


def variables_exist(manual, header, page):
    """Each .Va of wsfile.7 is errno or a member of a public struct."""
    fields = {"errno"}.union(*(manual.struct_fields(header, struct) for struct in
                               ("ws_options", "ws_status", "ws_event")))
    # Members declared together, "a, b", are found by their last one only.
    fields |= set(re.findall(r"\b(\w+)(?:\[\d+\])?;\s*/\*", header))
    words = re.findall(r"^\.(?:It )?Va (\w+)", page, re.M)
    manual.check(len(words) >= 20, "only %d .Va in wsfile.7" % len(words))
    for word in words:
        manual.check(word in fields, "wsfile.7 names the option %s, which is not there" % word)


def crates_are_covered(manual, page):
    """Each public item has a row, and each row says something."""
    section = re.search(r"^\.Ss For users of the Rust crates\n(.*?)^\.Sh ", page, re.M | re.S).group(1)
    lists = re.findall(r"^\.Bl -tag -width Ds\n(.*?)^\.El$", section, re.M | re.S)
    if not manual.check(len(lists) == len(CRATES), "wsfile.7 has %d tables of crates" % len(lists)):
        return
    for rows, items in zip(lists, CRATES):
        heads = re.findall(r"^\.It (.*)$", rows, re.M)
        words = {word for head in heads for word in head.split()}
        for item in items.split():
            manual.check(item in words, "wsfile.7 has no row for %s" % item)
        for row in re.split(r"^\.It ", rows, flags=re.M)[1:]:
            head, _, body = row.partition("\n")
            manual.check(re.search(r"\b(Xr|Er|Dv|Va|Vt|Ql)\b|^Not needed: \w|^The same functions", body, re.M),
                         "wsfile.7: the row %s has no counterpart" % head)


def pages_are_found(manual, pages):
    """wsfile.7 is the way to every other page, by what the page is for."""
    section = re.search(r"^\.Ss Where to look\n(.*?)^\.El$", pages["wsfile.7"], re.M | re.S).group(1)
    shown = set(re.findall(r"^\.It Xr (\w+) (\d)", section, re.M))
    for name, page in pages.items():
        section = name.rpartition(".")[2]
        if name != "wsfile.7":
            manual.check(any((word, section) in shown for word in manual.names_of(page)),
                         "wsfile.7 does not lead to %s" % name)


def readme_leads_somewhere(manual, top, readme):
    for target in re.findall(r"\]\(([^)#]+)", readme):
        manual.check("://" in target or os.path.exists(os.path.join(top, target)),
                     "README.md links to %s, which is not there" % target)
    for file in re.findall(r"\bsh (tools/[\w/.-]+)", readme):
        manual.check(os.path.exists(os.path.join(top, file)), "README.md tells to run %s, which is not there" % file)
    lines = readme.count("\n")
    manual.check(lines <= README_MAX_LINES, "README.md has %d lines, over %d" % (lines, README_MAX_LINES))


def run(manual, top, header, pages, readme):
    """manual is what test_manual.py has: check, names_of, struct_fields."""
    names_exist(manual, header, pages, readme)
    errors_agree(manual, header, pages)
    variables_exist(manual, header, pages["wsfile.7"])
    crates_are_covered(manual, pages["wsfile.7"])
    pages_are_found(manual, pages)
    readme_leads_somewhere(manual, top, readme)
