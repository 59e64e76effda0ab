"""The KV blocks of one replica: counted, or with prefix caching also known by their content.

Prefix caching is vLLM's (``vllm/v1/core/block_pool.py``): a full block of a prompt keeps its content when
it is freed, and is found again until another request takes it. Free blocks are taken in the order in which
they were freed; blocks in use never. The last block of a request is freed first, so that beginnings of
prompts stay longest.
"""

from __future__ import annotations

from collections import Counter

from simulator.vllm.request_table import RequestTable


class NamedBlock:
    """A block whose content a trace names; in a queue of free blocks while no request uses it."""

    __slots__ = ("anonymous", "key", "newer", "older", "users")

    def __init__(self, key: int, anonymous: int) -> None:
        self.key = key
        self.anonymous = anonymous  # more than 0: stands for so many free blocks without a name
        self.users = 0
        self.older: NamedBlock | None = None
        self.newer: NamedBlock | None = None


def block_keys(requests: RequestTable, row: int, block: int) -> list[int]:
    """The content of each full block of ``block`` tokens of a prompt, as far as the trace names it.

    An id of the trace stands for its piece of the prompt and all before it. So the id of the piece that
    holds a block's last token, together with the block's place, names the block. Pieces may be larger or
    smaller than blocks.
    """
    ids, piece = requests.hash_ids[row], requests.hash_block_tokens
    full = min(requests.prompt_tokens[row], len(ids) * piece) // block
    return [ids[((place + 1) * block - 1) // piece] << 32 | place for place in range(full)]


class KvBlocks:
    """Interchangeable blocks. ``free``: the number of blocks that no request uses."""

    def __init__(self, total: int) -> None:
        self.free = total

    def take(self, blocks: int) -> None:
        """Gives free blocks away."""
        self.free -= blocks

    def give_back(self, blocks: int, named: list[NamedBlock]) -> None:  # noqa: ARG002
        """Frees the blocks of a sequence; ``named`` are the first ones of them."""
        self.free += blocks

    def find(self, keys: list[int], most: int) -> list[NamedBlock]:  # noqa: ARG002
        """The longest beginning of ``keys`` (at most ``most`` blocks) whose content is cached."""
        return []

    def unused(self, found: list[NamedBlock]) -> int:  # noqa: ARG002
        """The number of found blocks that are free: using these takes free blocks too."""
        return 0

    def use(self, found: list[NamedBlock]) -> None:
        """Adds a sequence that reads these blocks."""

    def name(self, named: list[NamedBlock], keys: list[int], full: int) -> None:
        """Notes the content of the first ``full`` blocks of a sequence, which are full now."""

    def shared(self, ended: list[list[NamedBlock]]) -> int:  # noqa: ARG002
        """The number of named blocks of ended sequences that stay in use or are counted twice."""
        return 0


class PrefixCache(KvBlocks):
    """Blocks that are found again by their content."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._known: dict[int, list[NamedBlock]] = {}  # several sequences may compute the same block
        self._end = NamedBlock(-1, 0)  # between the newest and the oldest free block
        self._end.older = self._end.newer = self._end
        self._append(NamedBlock(-1, total))

    def take(self, blocks: int) -> None:
        """Gives away the blocks that were freed first, and forgets their content."""
        self.free -= blocks
        while blocks > 0:
            oldest = self._end.newer
            assert oldest is not None
            if oldest.anonymous > blocks:
                oldest.anonymous -= blocks
                return
            self._remove(oldest)
            if oldest.anonymous:
                blocks -= oldest.anonymous
            else:
                blocks -= 1
                self._forget(oldest)

    def give_back(self, blocks: int, named: list[NamedBlock]) -> None:
        """Frees the blocks of a sequence from the last one to the first one."""
        anonymous = blocks - len(named)
        if anonymous:
            self._append(NamedBlock(-1, anonymous))
            self.free += anonymous
        for block in reversed(named):
            block.users -= 1
            if not block.users:
                self._append(block)
                self.free += 1

    def find(self, keys: list[int], most: int) -> list[NamedBlock]:
        """The longest beginning of ``keys`` (at most ``most`` blocks) whose content is cached."""
        found: list[NamedBlock] = []
        for key in keys:
            known = self._known.get(key)
            if known is None or len(found) >= most:
                break
            found.append(known[0])
        return found

    def unused(self, found: list[NamedBlock]) -> int:
        """The number of found blocks that are free: using these takes free blocks too."""
        unused = 0
        for block in found:
            if not block.users:
                unused += 1
        return unused

    def use(self, found: list[NamedBlock]) -> None:
        """Adds a sequence that reads these blocks."""
        for block in found:
            if not block.users:
                self._remove(block)
                self.free -= 1
            block.users += 1

    def name(self, named: list[NamedBlock], keys: list[int], full: int) -> None:
        """Notes the content of the first ``full`` blocks of a sequence, which are full now."""
        for index in range(len(named), min(full, len(keys))):
            block = NamedBlock(keys[index], 0)
            block.users = 1
            named.append(block)
            self._known.setdefault(block.key, []).append(block)

    def shared(self, ended: list[list[NamedBlock]]) -> int:
        """The number of named blocks of ended sequences that stay in use or are counted twice."""
        counts = Counter(block for named in ended for block in named)
        freed = sum(1 for block, count in counts.items() if block.users == count)
        return counts.total() - freed

    def _forget(self, block: NamedBlock) -> None:
        known = self._known[block.key]
        known.remove(block)
        if not known:
            del self._known[block.key]

    def _append(self, block: NamedBlock) -> None:
        end = self._end
        newest = end.older
        assert newest is not None
        block.older, block.newer = newest, end
        newest.newer = end.older = block

    def _remove(self, block: NamedBlock) -> None:
        older, newer = block.older, block.newer
        assert older is not None
        assert newer is not None
        older.newer, newer.older = newer, older
