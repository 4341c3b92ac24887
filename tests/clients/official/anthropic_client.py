"""Anthropic's Python client: messages."""

import asyncio

import anthropic
from transcript import TOOL, scenario, url

OPTIONS = {"base_url": url, "api_key": "sk-ant-test", "timeout": 20, "max_retries": 0}

client = anthropic.Anthropic(**OPTIONS)


def asked(model):
    return {"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": "Tell me, 世界"}]}


def streamed(model, client=client):
    def read(seen):
        text = ""
        for event in client.messages.create(**asked(model), stream=True):
            seen.append(event.model_dump(mode="json"))
            if event.type == "content_block_delta":
                text += event.delta.text
        return {"text": text}
    return read


def patient(model, **options):
    return streamed(model, client.with_options(**options))


def text(seen):
    with client.messages.stream(**asked("text")) as stream:
        seen.extend(stream.text_stream)
        return {"text": stream.get_final_text()}


def calls_a_tool(seen):
    with client.messages.stream(**asked("tool"), tools=[{"name": "weather", "input_schema": TOOL}]) as stream:
        seen.extend(event.type for event in stream)
        call = stream.get_final_message().content[0]
        return {"tool": {"name": call.name, "arguments": call.input}}


def aborted(seen):
    with client.messages.create(**asked("endless"), stream=True) as stream:
        for event in stream:
            seen.append(event.model_dump(mode="json"))
            if len(seen) == 8:
                break


async def read_asynchronously(seen):
    async with anthropic.AsyncAnthropic(**OPTIONS) as client, client.messages.stream(**asked("text")) as stream:
        return {"text": await stream.get_final_text()}


scenario("messages text", streamed("text"))
scenario("messages text, by the helper", text)
scenario("messages text, asynchronously", lambda seen: asyncio.run(read_asynchronously(seen)))
scenario("messages json", lambda seen: {"text": client.messages.create(**asked("text")).content[0].text})
scenario("messages tool", calls_a_tool)
for model in ["bad", "denied", "busy", "failing", "error", "broken"]:
    scenario(f"messages {model}", streamed(model))
scenario("messages busy-once", patient("busy-once", max_retries=2))
scenario("messages silent", patient("silent", max_retries=1, timeout=1))
scenario("messages stalled", patient("stalled", timeout=1))
scenario("messages endless", aborted)
scenario("messages text again", streamed("text"))
