#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chats, templates and what the reference makes of them, as JSON on standard output.

  make_cases.py              the templates beside this file: what cases.json holds
  make_cases.py --published  the templates inside installed packages (trl), and of $FINESCALE_CHAT_TEMPLATES
  make_cases.py --snippets   small templates of single constructs: what snippets.json holds

The reference is transformers' own environment (jinja2 sandbox, trim_blocks, lstrip_blocks). Exit code 77: it is not installed.
"""
import importlib.util, json, os, pathlib, sys, time

try:
    from transformers.utils import chat_template_utils as reference
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(77)

HERE = pathlib.Path(__file__).parent
NOW = 1721995200  # 2024-07-26 12:00 UTC
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a place.\nTwo lines.",
    "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "where \"exactly\" é"},
        "days": {"type": "array", "items": {"type": "integer"}, "default": [1, 2]},
        "unit": {"type": ["string", "null"], "enum": ["C", "F"], "default": "C"},
        "at": {"type": "object", "properties": {"lon": {"type": "number"}, "lat": {"type": "number"}}}},
        "required": ["place"]}}}
TIME = {"type": "function", "function": {"name": "now", "description": "The time.",
    "parameters": {"type": "object", "properties": {}, "required": []}}}


def call(name, arguments, number=0):
    return {"type": "function", "id": "call%05d" % number, "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


ASKED = [user("Weather in Zürich?"), assistant("", tool_calls=[call("get_weather", {"place": "Zürich", "days": [1], "x": 1.5})]),
         {"role": "tool", "name": "get_weather", "tool_call_id": "call00000", "content": '{"t": 21}'}]
CHATS = {
    "ask": {"messages": [user("Hello")], "prompt": True},
    "answer": {"messages": [user("Hello"), assistant("Hi there.")]},
    "system": {"messages": [system("Be brief."), user("Hello"), assistant("Hi."), user("And?")], "prompt": True},
    "turns": {"messages": [system("  Be\n brief. "), user("  a\n"), assistant("  b \n\n"), user("c <&> 'd' \"e\" \\"), assistant("ü 中文 👩‍👧 end")]},
    "tools": {"messages": [user("Weather?")], "tools": [WEATHER, TIME], "prompt": True},
    "called": {"messages": [system("Help."), *ASKED, assistant("It is 21 degrees.")], "tools": [WEATHER]},
    "calling": {"messages": ASKED[:2], "tools": [WEATHER]},
    "two_calls": {"messages": [user("Both"), {"role": "assistant", "tool_calls": [call("get_weather", {"place": "a"}, 1), call("now", {}, 2)]},
        {"role": "tool", "tool_call_id": "call00001", "content": "1"}, {"role": "tool", "tool_call_id": "call00002", "content": "2"}],
        "tools": [WEATHER, TIME], "prompt": True},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": " What is "}, {"type": "image"}, {"type": "text", "text": "it?"}]}, assistant("A cat.")]},
    "thinking": {"messages": [user("1+1?"), assistant("2", reasoning_content="One and one."), user("2+2?"), assistant("4", reasoning_content="\nTwo.\n")]},
    "think_tags": {"messages": [user("1+1?"), assistant("<think>\nhm\n</think>\n\n2"), user("sure?"), assistant("<think>yes</think>yes")]},
    "no_thinking": {"messages": [user("1+1?")], "prompt": True, "variables": {"enable_thinking": False, "date_string": "1 May 2025"}},
    "assistant_first": {"messages": [assistant("I begin."), user("Hello")], "prompt": True},
    "nulls": {"messages": [user("x"), {"role": "assistant", "content": "y", "tool_calls": None, "name": None}]},
    "nothing": {"messages": [], "prompt": True},
}


def fixed_strftime(format):
    return time.strftime(format, time.gmtime(NOW))


def bytes_of(text, ranges):
    at = lambda i: len(text[:i].encode())
    return [[at(b), at(e)] for b, e in ranges if b != e]


def render(source, chat):
    compiled = reference._compile_jinja_template(source)
    messages = reference._alias_reasoning_fields(reference._normalize_chat_messages(chat["messages"]))
    text, ranges = reference._render_with_assistant_indices(
        compiled, messages, chat.get("tools"), None, chat.get("prompt", False),
        strftime_now=fixed_strftime, **TOKENS, **chat.get("variables", {}))
    return text, bytes_of(text, ranges)


def cases(templates, chats):
    out = []
    for name, source in templates.items():
        for title, chat in chats.items():
            try:
                text, ranges = render(source, chat)
                made = {"text": text, "ranges": ranges} if ranges else {"text": text}
            except Exception as error:  # whatever the template or the reference refuses
                made = {"error": str(error)[:80]}
            out.append({"template": name, "chat": title, **made})
    return out


def document(templates, chats):
    return {"now": NOW, "tokens": TOKENS, "templates": templates, "chats": chats, "cases": cases(templates, chats)}


def published():
    found = {}
    spec = importlib.util.find_spec("trl")
    places = [pathlib.Path(p) / "chat_templates" for p in (spec.submodule_search_locations if spec else [])]
    places += [pathlib.Path(p) for p in os.environ.get("FINESCALE_CHAT_TEMPLATES", "").split(":") if p]
    for place in places:
        for file in sorted(place.glob("*.jinja")):
            found[file.stem] = file.read_text()
    if not found:
        print("no package with chat templates is installed", file=sys.stderr)
        sys.exit(77)
    chats = {}
    for name, chat in CHATS.items():
        chats[name] = chat
        chats[name + "+prompt"] = {**chat, "prompt": not chat.get("prompt", False)}
    return document(found, chats)


def snippets():
    lines = (HERE / "snippets.txt").read_text().split("\n===\n")
    variables = {"n": None, "t": True, "i": 7, "f": 2.5, "s": " Ab ç\n", "l": [3, 1, 2], "e": [], "d": {"b": 1, "A": 2, "items": 3},
                 "m": CHATS["turns"]["messages"], "deep": {"a": [{"b": {"c": "x"}}]}, "words": ["b", "A", "a", "B", "c"]}
    out = []
    for source in lines:
        try:
            compiled = reference._compile_jinja_template(source)
            out.append({"template": source, "text": compiled.render(strftime_now=fixed_strftime, **variables)})
        except Exception as error:
            out.append({"template": source, "error": str(error)[:80]})
    return {"now": NOW, "variables": variables, "cases": out}


if "--snippets" in sys.argv:
    result = snippets()
elif "--published" in sys.argv:
    result = published()
else:
    names = sorted((HERE / "templates").glob("*.jinja"))
    result = document({p.stem: p.read_text() for p in names}, CHATS)
    del result["templates"]  # they lie beside
json.dump(result, sys.stdout, ensure_ascii=False, indent=0 if "--published" not in sys.argv else None)
print()
