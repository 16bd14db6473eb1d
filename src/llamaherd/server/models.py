"""The models of a server: found by name, loaded when needed, unloaded when memory is short.

All of it runs on the server's event loop; loading and closing a model run on threads.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Sequence

from llamaherd.server.errors import Refused
from llamaherd.server.residents import Resident, load
from llamaherd.server.settings import ModelSettings

logger = logging.getLogger("llamaherd.server")


class Lease:
    """The use of a loaded model, which stays loaded until :meth:`release`.

    Attributes:
        llm: the model.
        settings: of it.
        name: what responses call it.
        adapters: names of its LoRA adapters, in the order of the configuration.
    """

    def __init__(self, models: Models, resident: Resident) -> None:
        assert resident.llm is not None
        self._models, self._resident = models, resident
        self.llm, self.name, self.settings = resident.llm, resident.name, resident.settings
        self.adapters = tuple(resident.settings.adapters)
        self._released = False

    def release(self) -> None:
        """Give it back; the second time nothing happens."""
        if not self._released:
            self._released = True
            self._models.give_back(self._resident)


class Models:
    """All models that can be asked for.

    Args:
        settings: of each.
        default: name of the one that answers for unknown names; None: nobody does.
        memory_bytes: for all together; None: any.

    Attributes:
        retired: models that are no longer in the configuration, until their requests have ended.
    """

    def __init__(
        self,
        settings: Sequence[ModelSettings],
        *,
        default: str | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self._memory_bytes, self._default = memory_bytes, default
        self._closing = threading.Event()
        self._residents = [Resident(each) for each in settings]
        self.retired: list[Resident] = []
        self._turn = asyncio.Lock()  # one model is loaded at a time, so that memory adds up
        self._given_back = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Resident]:
        return iter(self._residents)

    def find(self, name: str | None) -> Resident:
        """The model of a name; without a name the default one, or the first.

        Raises:
            Refused: there is none; lists those there are.
        """
        for resident in self._residents:
            if name in resident.settings.all_names:
                return resident
        if self._default is not None:
            return next(r for r in self._residents if self._default in r.settings.all_names)
        if name is None:
            return self._residents[0]
        known = ", ".join(each.name for each in self._residents)
        raise Refused(
            404,
            f"the model {name!r} does not exist; there are: {known}. Whoever runs the server can "
            "give one of them this name as an alias, or name a default_model",
            param="model",
            code="model_not_found",
        )

    async def lease(self, name: str | None) -> Lease:
        """A model, loaded if it was not; waits for that, and for others to make room.

        Raises:
            Refused: there is none of that name.
            LlamaHerdError: it cannot be loaded; the next request tries again.
        """
        resident = self.find(name)
        if resident.llm is not None and not resident.leaving:
            resident.running += 1
        else:
            await self._loaded(resident)
        resident.last_used = time.monotonic()
        return Lease(self, resident)

    def give_back(self, resident: Resident) -> None:
        """A lease has ended."""
        resident.running -= 1
        resident.last_used = time.monotonic()
        self._given_back.set()

    async def preload(self) -> None:
        """Load those that are wanted from the start.

        Raises:
            LlamaHerdError: one cannot be loaded.
        """
        for resident in list(self._residents):
            if resident.settings.preload and await self._fits(resident):
                (await self.lease(resident.name)).release()
            resident.pending = False

    async def _fits(self, resident: Resident) -> bool:
        """Whether it can be loaded without another making room."""
        if self._memory_bytes is None or resident.llm is not None:
            return True
        await asyncio.to_thread(resident.estimate)
        held = sum(each.n_bytes for each in self._residents if each.llm is not None)
        if held and held + resident.n_bytes > self._memory_bytes:
            logger.info("%s is loaded when it is asked for: memory_gib is full", resident.name)
            return False
        return True

    def configure(self, settings: Sequence[ModelSettings], default: str | None) -> None:
        """Take over a new configuration; what it no longer has is unloaded after its requests."""
        kept = {each.settings.name: each for each in self._residents if each.settings in settings}
        self.retired += [each for each in self._residents if each not in kept.values()]
        self._residents = [kept.get(each.name) or Resident(each) for each in settings]
        self._default = default
        for resident in self.retired:
            self._keep(asyncio.ensure_future(self._retire(resident)))
        self._keep(asyncio.ensure_future(self._preload_or_log()))

    async def close(self) -> None:
        """Unload everything, and stop loading; running requests end with an error."""
        self._closing.set()
        for task in list(self._tasks):
            task.cancel()
        for resident in [*self._residents, *self.retired]:
            llm, resident.llm = resident.llm, None
            if llm is not None:
                await asyncio.to_thread(llm.close)

    # -- memory -------------------------------------------------------------------------------

    async def _loaded(self, resident: Resident) -> None:
        """Wait until it is in memory and this request is counted among those that use it."""
        grant: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        resident.waiting.append(grant)
        if resident.loading is None:
            resident.loading = asyncio.ensure_future(self._load(resident))
            self._keep(resident.loading)
        try:
            await grant
        except BaseException:
            if grant.done() and not grant.cancelled() and grant.exception() is None:
                self.give_back(resident)  # the client left in the moment of the grant
            raise

    async def _load(self, resident: Resident) -> None:
        """Load a model for those who wait for it.

        They count as its users from the moment it is there: else the next in turn could unload it
        before any of them has run.
        """
        error: BaseException | None = None
        try:
            async with self._turn:
                await self._load_in_turn(resident)
        except BaseException as caught:
            error = caught
            if not isinstance(caught, Exception):
                raise
        finally:
            resident.loading = None
            for grant in resident.waiting:
                if grant.done():
                    continue
                if error is None:
                    resident.running += 1
                    grant.set_result(None)
                else:
                    grant.set_exception(error)
            resident.waiting.clear()

    async def _load_in_turn(self, resident: Resident) -> None:
        if resident not in self._residents and resident not in self.retired:
            raise Refused(404, f"{resident.name} was taken out of the configuration", param="model")
        if self._memory_bytes is not None:
            await self._make_room(resident, self._memory_bytes)
        begin = time.monotonic()
        logger.info("loading %s", resident.name)
        resident.llm = await asyncio.to_thread(load, resident.settings, self._closing)
        resident.measure()
        logger.info("loaded %s in %.1f s", resident.name, time.monotonic() - begin)

    async def _make_room(self, wanted: Resident, most_bytes: int) -> None:
        """Unload what was used longest ago until ``wanted`` fits; requests finish first."""
        if not wanted.n_bytes:
            await asyncio.to_thread(wanted.estimate)
        while True:
            residents = [*self._residents, *self.retired]
            held = [each for each in residents if each.llm is not None]
            if not held or sum(r.n_bytes for r in held) + wanted.n_bytes <= most_bytes:
                return
            idle = [each for each in held if not each.running]
            await self._unload(min(idle or held, key=lambda each: each.last_used))

    async def _retire(self, resident: Resident) -> None:
        async with self._turn:
            if resident in self.retired:
                await self._unload(resident)
                self.retired.remove(resident)

    async def _unload(self, resident: Resident) -> None:
        """Close a model once its requests have ended; new ones wait for it to be loaded again.

        Else a model that is always busy would never make room for another.
        """
        resident.leaving = True
        while resident.running:
            self._given_back.clear()
            await self._given_back.wait()
        llm, resident.llm, resident.leaving = resident.llm, None, False
        if llm is not None:
            logger.info("unloading %s", resident.name)
            await asyncio.to_thread(llm.close)

    async def _preload_or_log(self) -> None:
        try:
            await self.preload()
        except Exception as error:
            logger.error("after the configuration was read again: %s", error)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
