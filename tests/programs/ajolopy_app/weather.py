"""An Ajolopy application: one agent with two tools, behind one route."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import scripted_llm  # noqa: F401 - registers the model's provider, which `@Agent` looks up when it decorates
from ajolopy import Agent, Controller, Get, Injectable, Module, Tool


def mark_as_started() -> None:
    Path(os.environ["PROGRAM_FOLDER"], "started").touch()


@Agent(
    model="gpt-4o", fallback="gpt-4o-mini", system="You know the weather.", temperature=0.3, max_tokens=100
)
class Weather:
    @Tool
    async def temperature(self, place: str) -> dict:
        """The temperature at a place."""
        await asyncio.sleep(0.002)
        if place == "Nowhere":
            raise LookupError(f"no place is called {place}")
        return {"place": place, "celsius": 17}

    @Tool
    def clock(self, place: str) -> str:
        """The time at a place; a plain function, which Ajolopy runs in a thread."""
        return "noon"


@Injectable
class Hooks:
    """Says which of Ajolopy's hooks were called."""

    def on_app_shutdown(self) -> None:
        print("on_app_shutdown", flush=True)


@Controller("/weather")
class WeatherRoutes:
    @Get("/slow")
    async def slow(self) -> dict:
        """Holds on for a while before it asks the agent: the request that is in flight when SIGTERM comes."""
        mark_as_started()
        await asyncio.sleep(1.0)
        return {"answer": await Weather().run("How warm is it in Bern?")}


@Module(providers=[Hooks], agents=[Weather], controllers=[WeatherRoutes])
class Application:
    pass
