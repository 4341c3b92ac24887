"""OpenAI's Python client: chat completions and responses."""

import asyncio
import json

import openai
from transcript import TOOL, scenario, url

OPTIONS = {"base_url": f"{url}/v1", "api_key": "sk-test", "timeout": 20, "max_retries": 0}

client = openai.OpenAI(**OPTIONS)

FUNCTION = {"name": "weather", "parameters": TOOL}


class Chat:
    """`client.chat.completions`."""

    tool = {"tools": [{"type": "function", "function": FUNCTION}]}

    @staticmethod
    def create(model, client=client, **more):
        messages = [{"role": "user", "content": "Tell me, 世界"}]
        return client.chat.completions.create(model=model, messages=messages, **more)

    @staticmethod
    def stream(model):
        messages = [{"role": "user", "content": "Tell me"}]
        return client.chat.completions.stream(model=model, messages=messages, **Chat.tool)

    @staticmethod
    def text(answer):
        return {"text": answer.choices[0].message.content}

    @staticmethod
    def called(stream):
        call = stream.get_final_completion().choices[0].message.tool_calls[0].function
        return {"tool": {"name": call.name, "arguments": json.loads(call.arguments)}}

    @staticmethod
    def delta(chunk):
        return chunk.choices[0].delta.content or "" if chunk.choices else ""


class Responses:
    """`client.responses`."""

    tool = {"tools": [{"type": "function", "strict": False, **FUNCTION}]}

    @staticmethod
    def create(model, client=client, **more):
        return client.responses.create(model=model, input="Tell me, 世界", **more)

    @staticmethod
    def stream(model):
        return client.responses.stream(model=model, input="Tell me", **Responses.tool)

    @staticmethod
    def text(answer):
        return {"text": answer.output_text}

    @staticmethod
    def called(stream):
        call = stream.get_final_response().output[0]
        return {"tool": {"name": call.name, "arguments": json.loads(call.arguments)}}

    @staticmethod
    def delta(event):
        return event.delta if event.type == "response.output_text.delta" else ""


def run(name, api):
    def streamed(model, **more):
        def read(seen):
            text = ""
            for chunk in api.create(model, stream=True, **more):
                seen.append(chunk.model_dump(mode="json"))
                text += api.delta(chunk)
            return {"text": text}
        return read

    def patient(model, **options):
        return streamed(model, client=client.with_options(**options))

    def calls_a_tool(seen):
        with api.stream("tool") as stream:
            seen.extend(event.type for event in stream)
            return api.called(stream)

    def aborted(seen):
        with api.create("endless", stream=True) as stream:
            for chunk in stream:
                seen.append(chunk.model_dump(mode="json"))
                if len(seen) == 8:
                    break

    async def read_asynchronously(seen):
        async with openai.AsyncOpenAI(**OPTIONS) as client:
            text = ""
            async for chunk in await api.create("text", client=client, stream=True):
                text += api.delta(chunk)
            return {"text": text}

    scenario(f"{name} text", streamed("text"))
    scenario(f"{name} text, asynchronously", lambda seen: asyncio.run(read_asynchronously(seen)))
    scenario(f"{name} json", lambda seen: api.text(api.create("text")))
    scenario(f"{name} tool", calls_a_tool)
    for model in ["bad", "denied", "busy", "failing", "error", "broken"]:
        scenario(f"{name} {model}", streamed(model))
    scenario(f"{name} busy-once", patient("busy-once", max_retries=2))
    scenario(f"{name} silent", patient("silent", max_retries=1, timeout=1))
    scenario(f"{name} stalled", patient("stalled", timeout=1))
    scenario(f"{name} endless", aborted)
    scenario(f"{name} text again", streamed("text"))


run("chat", Chat)
run("responses", Responses)
