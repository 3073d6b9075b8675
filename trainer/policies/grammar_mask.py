"""The grammar of `cropzoom.cropper.smolvlm.box_grammar` as a table, for many samples at once."""

from __future__ import annotations

import torch
from torch import Tensor

from cropzoom.cropper.smolvlm.box_grammar import BoxGrammar

_Steps = dict[int, int]


class BoxTable:
    """Which tokens may come next when a box is written.

    Args:
        grammar: how the tokenizer writes a box.
        end: id of the token that ends an answer.

    Attributes:
        tokens: (K,) int64, ids of all tokens of boxes and the end, ascending.
        next: (S, K) int64, the state after a token; -1 where it may not come. State 0 is the
            start; in the last one, after the end, the end may come again.
    """

    def __init__(self, grammar: BoxGrammar, end: int) -> None:
        self._states: list[_Steps] = [{}]
        at = self._chain(0, grammar.opening)
        for corner in range(4):
            after = grammar.separator if corner < 3 else grammar.closing
            start, at = at, len(self._states)
            self._states.append({})
            for number in grammar.numbers:
                # All numbers go on to the same state with the first token of what follows.
                self._states[self._chain(start, number)][after[0]] = at
            at = self._chain(at, after[1:])
        final = self._chain(at, (end,))
        self._states[final][end] = final
        ids = sorted({token for steps in self._states for token in steps})
        self.tokens = torch.tensor(ids)
        self.next = torch.full((len(self._states), len(ids)), -1)
        for state, steps in enumerate(self._states):
            for token, reached in steps.items():
                self.next[state, ids.index(token)] = reached

    def to(self, device: torch.device) -> BoxTable:
        """Move the tensors, in place."""
        self.tokens, self.next = self.tokens.to(device), self.next.to(device)
        return self

    def columns_of(self, ids: Tensor) -> Tensor:
        """Ids (...) -> their places in `tokens`; -1 for tokens that no box has."""
        places = torch.searchsorted(self.tokens, ids.contiguous()).clamp_max(len(self.tokens) - 1)
        return torch.where(self.tokens[places] == ids, places, -1)

    def states_of(self, columns: Tensor) -> Tensor:
        """The state before each token of answers (..., C) of `columns_of`; -1 after a wrong one."""
        state = torch.zeros_like(columns[..., 0])
        states = []
        for column in columns.unbind(-1):
            states.append(state)
            reached = self.next[state.clamp_min(0), column.clamp_min(0)]
            state = torch.where((state < 0) | (column < 0), -1, reached)
        return torch.stack(states, -1)

    def _chain(self, state: int, tokens: tuple[int, ...]) -> int:
        """Follow tokens from a state, making states where there are none; the last one."""
        for token in tokens:
            if token not in self._states[state]:
                self._states.append({})
                self._states[state][token] = len(self._states) - 1
            state = self._states[state][token]
        return state
