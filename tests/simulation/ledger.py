"""The reference model: every operator's last word, every receipt, every version; told of all that happens, it objects.

It knows what a person would: who typed what and when, what officers wrote, what was decided. It is checked

- that a push writes a value no more often than it was typed (so no push overrules an officer twice), and over nothing
  that an officer wrote into a shared field and the operator had not seen;
- that each operator's last word reaches central, or was logged as overruled, or lost a conflict that a person decided,
  or was on the list before a reinstall; and until then shows as pending wherever a session says how things stand;
- that what is pushed is what the gate saw, all of it, once, and nothing of it invalid;
- that a push never touches what is central's, nor a field that the site does not know;
- that seq has no holes and versions grow by one; that base is, version for version, what central had;
- that conflicts stay until decided, and that there are none where nobody disagreed;
- that a statement's root is that of what central wrote, at that seq and ever after;
- that a restore brings back exactly what the last completed sync was about.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from services.entities.schema import EntitySpec, Fields, Owner
from services.exchange import canonical, digest
from services.exchange.absorb import Base, Replicated
from services.exchange.canonical import same, same_fields
from services.exchange.change import WHOLE
from services.messages import PushedChange
from services.replica.requests import Job
from tests.simulation import central, site
from tests.simulation.books import (
    Account,
    Book,
    Kept,
    Memory,
    Wish,
    brought_back,
    corrected_since,
    has,
    has_seen,
    officers_own,
    place,
    root,
    touched,
)
from tests.simulation.entities import AT_CENTRAL, AT_SITE, TYPED, Key, invalid_at_central, invalid_at_site
from tests.simulation.safeguards import Broken


class Ledger(central.Listener, site.Watcher):
    """The books of all schools."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}

    def begin(self, npsn: str) -> None:
        """The baseline is there, and counts as confirmed."""
        book = self.books.setdefault(npsn, Book())
        book.confirmed = dict(book.now)

    # ── the operator ─────────────────────────────────────────────────────────────────────────────────────────────────

    def typed(self, npsn: str, key: Key, name: str, value: Any, before: Replicated) -> None:
        """The operator typed a value over `before`, and it made a difference."""
        account = self.books[npsn].of(key)
        base = before.base.fields or {}
        sent = base if before.sent is None else before.sent.fields or {}
        nothing_new = base.get(name) == sent.get(name) == value or (before.data is None and value is None)
        if before.conflict is not None and before.conflict.whole:
            self._typed_all(npsn, key, before)
            account.acted_since |= {*TYPED[key[0]]}
        account.typed[name, value] += 1
        account.acted_since |= {name, WHOLE}
        has_seen(account, before, name)
        account.wishes.pop(WHOLE, None)
        account.wishes.pop(name, None)
        if not nothing_new:
            account.wishes[name] = Wish(value)
        self._look(npsn, key)

    def deleted(self, npsn: str, key: Key, before: Replicated) -> None:
        """The operator deleted the record."""
        account = self.books[npsn].of(key)
        account.typed.update((name, None) for name in before.data or {})
        account.acted_since |= {*TYPED[key[0]], WHOLE}
        has_seen(account, before, *TYPED[key[0]])
        settled_already = before.sent is None and before.base.fields is None
        account.wishes = {} if settled_already else {WHOLE: Wish(None)}
        self._look(npsn, key)

    def decided(self, npsn: str, key: Key, name: str, choice: str, before: Replicated) -> None:
        """The operator decided a conflict."""
        account = self.books[npsn].of(key)
        account.acted_since |= {*TYPED[key[0]], WHOLE} if name == WHOLE else {name}
        if choice == "mine":
            self._typed_all(npsn, key, before)
            return
        self.books[npsn].set_aside.pop(key, None)
        if name == WHOLE:
            account.wishes.clear()
        else:
            account.wishes.pop(name, None)

    def _typed_all(self, npsn: str, key: Key, record: Replicated) -> None:
        """To decide for mine is to type it all anew: it may be written once more."""
        account = self.books[npsn].of(key)
        names = {*TYPED[key[0]], *(record.data or {})}
        account.typed.update((name, (record.data or {}).get(name)) for name in names)
        has_seen(account, record, *TYPED[key[0]])

    def remember(self, npsn: str) -> Memory:
        """A copy of the site is made."""
        book = self.books[npsn]
        accounts = {key: copy.deepcopy((account.wishes, account.seen)) for key, account in book.records.items()}
        return Memory(book.head, set(book.gates), set(book.forgotten), set(book.early_known), accounts)

    def put_back(self, npsn: str, memory: Memory, versions: Sequence[central.Version], lost: Sequence[Key]) -> None:
        """The copy is put back: what was typed since is gone. `versions`: central's since; `lost`: what was in hand."""
        book = self.books[npsn]
        book.early_known = set(memory.early_known)
        known = {gate for gate, id in book.early_ids.items() if id in memory.early_known}
        book.forgotten = memory.forgotten | (set(book.gates) - memory.gated - known)
        book.set_aside.clear()
        for key, account in book.records.items():
            account.wishes, seen = copy.deepcopy(memory.accounts.get(key, ({}, {})))
            account.seen |= {name: [*account.seen.get(name, []), *values] for name, values in seen.items()}
            account.others_acted = True
        if book.forgotten & book.taken.keys():
            self._drop(npsn, lost)  # it will be refused, and reinstalled
        before = {version.key: version for version in book.now.values() if version.seq <= memory.head}
        for version in versions:
            self._heard(book.of(version.key), before.get(version.key), version, book.install_id)
            before[version.key] = version

    def site_wiped(self, school: site.School, listed: Sequence[Key]) -> None:
        book = self.books.get(school.npsn)
        if book is None:
            return
        for key, name, wish in book.unreached():
            if key not in listed:
                raise Broken(f"{key} {name}: {wish} is lost by a restore, and was not on its list")
        self._drop(school.npsn, listed)
        book.forgotten.clear()
        book.set_aside.clear()
        if book.parted:  # what central has forgotten, and this site had not given back, goes with it
            for key, account in book.records.items():
                now = book.now.get(key)
                fields = now.fields if now else None
                account.wishes = {n: w for n, w in account.wishes.items() if has(fields, n, w)}

    def _drop(self, npsn: str, lost: Sequence[Key]) -> None:
        for key, account in self.books[npsn].records.items():
            account.wishes = {n: wish for n, wish in account.wishes.items() if wish.reached and key not in lost}
            account.others_acted = True

    # ── central's backups ────────────────────────────────────────────────────────────────────────────────────────────

    def back_up(self) -> dict[str, Kept]:
        """Central is backed up."""
        return {
            npsn: Kept(
                book.head, dict(book.now), dict(book.versions), dict(book.confirmed),
                {gate: [*changes] for gate, changes in book.taken.items()},
                {key: Counter(account.written) for key, account in book.records.items()},
            )
            for npsn, book in self.books.items()
        }  # fmt: skip

    def central_put_back(self, kept: Mapping[str, Kept], schools: Mapping[str, central.School]) -> None:
        """Central knows what it knew then. What it forgot, the sites may bring back; what nobody saw is lost."""
        for npsn, was in kept.items():
            book = self.books[npsn]
            book.head, book.now, book.versions = was.head, dict(was.now), dict(was.versions)
            book.confirmed = dict(was.confirmed)
            book.taken = {gate: [*changes] for gate, changes in was.taken.items()}
            book.parted, book.life = was.head, schools[npsn].incarnation
            book.lives = list(schools[npsn].lives)
            for key, account in book.records.items():
                account.written = Counter(was.written.get(key, ()))
                account.acted_since, account.came_back = set(), None
                self._look(npsn, key)

    def site_parts(self, school: site.School, _common: int) -> None:
        if book := self.books.get(school.npsn):
            book.stated = school.stated

    def site_set_aside(self, school: site.School, key: Key, base: Base) -> None:
        book = self.books.get(school.npsn)
        if book is not None:
            self._knew(book, key, base.fields)
        if book is not None and school.stated is not None:
            text = None if base.fields is None else canonical.encode(base.fields)
            hashed = digest.row_hash(*key, base.version, text)
            if hashed in _parts(school.hashes.get(key[0], b"")):
                book.set_aside[key] = hashed

    def site_lets_go(self, school: site.School, key: Key, base: Base) -> None:
        if book := self.books.get(school.npsn):
            self._knew(book, key, base.fields)
            book.of(key).typed.update((name, (base.fields or {}).get(name)) for name in TYPED.get(key[0], ()))

    def _knew(self, book: Book, key: Key, fields: Fields | None) -> None:
        """What the site showed before it went back."""
        known = book.of(key).knew
        for name in TYPED.get(key[0], ()):
            known.setdefault(name, []).append((fields or {}).get(name))

    def site_gives(self, school: site.School, session: tuple[str, int]) -> None:
        if book := self.books.get(school.npsn):
            book.gates[session] = {}

    def central_took_back(self, school: central.School, session: int) -> None:
        self.books[school.npsn].ever_taken.add((school.incarnation, session))

    def site_not_taken(self, school: site.School, key: Key, aside: Base, before: Replicated, seq: int) -> None:
        """It is sent once more, whoever had written it, over what both histories share."""
        book = self.books.get(school.npsn)
        if book is None:
            return
        account, shared = book.of(key), before.base.fields or {}
        account.came_back, account.shared, account.answered_seq = aside.fields or {}, shared, seq
        for name in TYPED.get(key[0], ()):
            account.typed[name, (aside.fields or {}).get(name)] += 1
        self._knew(book, key, shared)

    def central_knows_again(self, school: central.School, _install_id: str) -> None:
        """What the other installation wrote meanwhile is listed."""
        for account in self.books[school.npsn].records.values():
            account.others_acted = True

    # ── central ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def central_wrote(self, school: central.School, before: central.Version | None, now: central.Version) -> None:
        book = self.books.setdefault(school.npsn, Book())
        known = book.now.get(now.key)
        number = known.version if known else 0
        if now.seq != book.head + 1 or not (now.version > number if now.recovered else now.version == number + 1):
            raise Broken(f"{now.key}: version {now.version}, seq {now.seq} after {known} and head {book.head}")
        book.head, book.now[now.key], book.versions[now.key, now.version] = now.seq, now, now
        book.ever.setdefault((now.key, now.version), []).append(now)
        account = book.of(now.key)
        if now.recovered:
            is_ours = now.by == book.install_id
            if is_ours and before is not None and before.seq > book.parted_from_stated():
                raise Broken(f"{now.key}: what comes back is put over what was written since: {before.fields}")
            account.written |= book.written_by[now.row_hash]
        elif now.session is not None and now.by == book.install_id:
            self._check_written(school, before.fields if before else None, now)
        if not now.recovered:
            book.written_by[now.row_hash] = Counter(account.written)
        self._heard(account, before, now, book.install_id)

    def _heard(self, account: Account, before: central.Version | None, now: central.Version, install_id: str) -> None:
        """A version came to be: whose words did it touch, whose did it fulfil?"""
        if now.by != install_id:
            account.others_acted = True
            for name in touched(before.fields if before else None, now.fields):
                if name in account.wishes:
                    account.wishes[name].alone = False
        for name, wish in account.wishes.items():
            wish.reached = wish.reached or has(now.fields, name, wish)

    def _look(self, npsn: str, key: Key) -> None:
        now = self.books[npsn].now.get(key)
        for name, wish in self.books[npsn].of(key).wishes.items():
            wish.reached = wish.reached or has(now.fields if now else None, name, wish)

    def _check_written(self, school: central.School, before: Fields | None, now: central.Version) -> None:
        spec, after = AT_CENTRAL[now.key[0]], now.fields or {}
        account = self.books[school.npsn].of(now.key)
        if spec.central:
            raise Broken(f"{now.key} is central's, and a push wrote it")
        if now.fields is not None and invalid_at_central(after):
            raise Broken(f"{now.key}: a push wrote what breaks a record rule")
        for name in sorted((before or {}).keys() | after.keys()):
            old, value = (before or {}).get(name), after.get(name)
            if same(old, value):
                continue
            kept = before is not None and now.fields is not None and AT_SITE[now.key[0]].is_central(name, before)
            if kept and not brought_back(school.records[now.key], name, old, value):
                raise Broken(f"{now.key} {name} is not the site's, and a push made {value!r} of {old!r}")
            if name in TYPED[now.key[0]] and not spec.is_central(name, now.fields or before):
                self._count(school, account, now, name, old, value)

    def _count(
        self, school: central.School, account: Account, now: central.Version, name: str, old: Any, value: Any
    ) -> None:
        account.written[name, value] += 1
        if account.written[name, value] > account.typed[name, value]:
            raise Broken(f"{now.key} {name}: {value!r} was written more often than typed")
        shared = AT_CENTRAL[now.key[0]].fields[name].owner is Owner.SHARED
        book, seen = self.books[school.npsn], [*account.seen.get(name, []), *account.knew.get(name, [])]
        remembered = (
            school.incarnation,
            now.session,
        ) not in book.forgotten  # else it was typed before the copy was made
        if shared and remembered and officers_own(school.records[now.key][:-1], name, old, seen):
            raise Broken(f"{now.key} {name}: {value!r} was written over {old!r}, which nobody had seen")
        then = [version for version in school.records[now.key] if version.seq <= account.answered_seq]
        corrected = book.parted and name in corrected_since(then, book.parted)
        came_back = account.came_back is not None and same(account.came_back.get(name), value)
        undone = then and came_back and not same((then[-1].fields or {}).get(name), account.shared.get(name))
        if corrected and undone and name not in account.acted_since:
            raise Broken(f"{now.key} {name}: what came back, {value!r}, undoes {old!r}, written since")

    def central_took(self, school: central.School, session: int, changes: Sequence[PushedChange]) -> None:
        book = self.books[school.npsn]
        if school.install_id != book.install_id:
            return  # an older one, which central knows again since it was put back
        gate = (school.incarnation, session)
        passed = book.gates.get(gate)
        taken = book.taken.setdefault(gate, [])
        book.ever_taken.add(gate)
        if passed is None:
            raise Broken(f"session {session} pushes what no gate of this installation let pass")
        already = {(change.entity, change.record_id) for change in taken}
        for change in changes:
            key = (change.entity, change.record_id)
            if key not in passed or key in already:
                raise Broken(f"{key} is pushed {'twice' if key in already else 'and was not let pass'}")
            data = passed[key].data
            if (change.op == "delete") != (data is None):
                raise Broken(f"{key}: {change.op} is pushed, the gate saw {data}")
            for name, (_, new) in change.fields.items():
                if not same(new, (data or {}).get(name)):
                    raise Broken(f"{key} {name}: {new!r} is pushed, the gate saw {(data or {}).get(name)!r}")
            if gate in book.forgotten:
                book.of(key).wishes.clear()
        taken.extend(changes)
        places = [place(change) for change in taken]
        if places != sorted(places):
            raise Broken(f"session {session} pushes children before parents, or deletes too early")

    def central_takes_early(self, school: central.School, session: int, id: str) -> None:
        book = self.books[school.npsn]
        if school.install_id != book.install_id or id not in book.early:
            return
        gate = (school.incarnation, session)
        book.gates[gate], book.early_ids[gate] = book.early[id], id
        if id not in book.early_known:
            book.forgotten.add(gate)

    def central_ended(self, school: central.School, session: int) -> None:
        if school.sender is not None and len(school.opened) > session and len(set(school.opened[session - 1 :])) == 1:
            raise Broken(f"session {session} was ended by the OPEN that began it")

    def central_stated(self, school: central.School, statement: Mapping[str, Any]) -> None:
        book = self.books[school.npsn]
        held = book.confirmed if statement["kind"] == "restore" else book.now
        if statement["root"] != root(held.values()):
            raise Broken(f"the statement of session {statement['session']} is not about what central holds")
        if statement["kind"] == "sync" or school.confirmed_seq == school.head:
            book.confirmed = dict(book.now)

    # ── the site ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def site_absorbed(self, school: site.School, key: Key, before: Replicated, theirs: Base, absorbed: Any) -> None:
        book = self.books.get(school.npsn)
        if book is None or theirs.version < before.base.version:
            return
        known = book.ever.get((key, theirs.version), [])
        if theirs.version and not any(v.seq == theirs.seq and same_fields(theirs.fields, v.fields) for v in known):
            raise Broken(f"{key}: the site takes {theirs} for what central has, which is {known}")
        account, spec, after = book.of(key), AT_SITE.get(key[0]), absorbed.record
        for name, wish in account.wishes.items():
            if has(theirs.fields, name, wish):  # central had it, as the site hears after it was typed
                wish.reached, wish.alone = True, False
        for overruled in absorbed.overruled:
            account.wishes.pop(overruled.field, None)
            if spec is not None and not spec.is_central(overruled.field, theirs.fields):
                raise Broken(f"{key}: {overruled} took the place of the school's")
        _check_conflict(key, before, after, spec, account)
        if after.conflict is not None and after.conflict.whole:  # what is as it was before both parted is no edit
            parted = after.conflict.ancestor or {}
            account.wishes = {n: w for n, w in account.wishes.items() if n == WHOLE or parted.get(n) != w.value}

    def site_cleared(self, school: site.School, key: Key, record: Replicated) -> None:
        """Who had typed back what central never got has taken it back: there is nothing to be told."""
        book = self.books.get(school.npsn)
        if book is not None:
            account, base = book.of(key), record.base.fields
            account.wishes = {name: wish for name, wish in account.wishes.items() if not has(base, name, wish)}

    def site_gated(
        self, school: site.School, job: Job, session: tuple[str, int], passed: Mapping[Key, Replicated]
    ) -> None:
        book = self.books.get(school.npsn)
        if book is None:
            return
        self._check_gate(school, job)
        book.gates[session] = passed

    def site_gated_early(self, school: site.School, job: Job, id: str, passed: Mapping[Key, Replicated]) -> None:
        book = self.books.get(school.npsn)
        if book is None:
            return
        self._check_gate(school, job)
        book.early[id] = passed
        book.early_known.add(id)

    def _check_gate(self, school: site.School, job: Job) -> None:
        if job.kind != "sync" or school.conflicts() or any(map(invalid_at_site, school.live().values())):
            raise Broken("the gate let a school pass that is blocked")

    def site_stands(self, school: site.School, job: Job) -> None:
        book = self.books.get(school.npsn)
        if book is None or job.kind == "restore":
            return
        for key, name, wish in book.unreached():
            record = school.records.get(key)
            if record is None or not record.pending:
                raise Broken(f"{key} {name}: {wish} has not reached central, and nothing is pending: {record}")
        doubtful = [key for key, record in school.records.items() if record.sent is not None]
        if doubtful:
            raise Broken(f"{doubtful} are still in doubt when both sides are compared")

    def site_refused(self, school: site.School, code: str) -> None:
        book = self.books.get(school.npsn)
        if book is not None and code == "SYN-05" and not book.forgotten & book.ever_taken:
            raise Broken("a healthy replica is taken for an old copy")

    def site_completed(self, school: site.School, job: Job, statement: Mapping[str, Any]) -> None:
        book = self.books.get(school.npsn)
        if book is None:
            return
        if job.kind == "restore":
            if statement["incarnation"] != book.life:
                return  # central was put back before the site heard of it
            restored = {key: (r.base.version, r.base.seq, r.base.fields, r.data) for key, r in school.records.items()}
            wanted = {key: (v.version, v.seq, v.fields, v.fields) for key, v in book.confirmed.items()}
            if restored != wanted or any(r.sent or r.conflict for r in school.records.values()):
                raise Broken(f"restored {restored}, the last completed sync was about {wanted}")
        elif job.kind == "sync":
            gate = (statement["incarnation"], statement["session"])
            pushed = {(change.entity, change.record_id) for change in book.taken.get(gate, [])}
            if gate not in book.gates:
                raise Broken(f"session {gate} ends well, and no gate let anything pass in it")
            if pushed != set(book.gates[gate]) and gate[0] == book.life:
                raise Broken(f"session {gate} let {sorted(book.gates[gate])} pass and pushed {sorted(pushed)}")
        elif job.kind == "recover":
            if statement["incarnation"] == book.life:
                self._check_recovered(book)
            book.set_aside.clear()

    def _check_recovered(self, book: Book) -> None:
        """Whatever was signed is at central again, unless somebody has written the record since."""
        for key, hashed in book.set_aside.items():
            there = [version for (of, _), version in book.versions.items() if of == key]
            again = any(version.row_hash == hashed for version in there)
            since = [version for version in there if version.seq > book.parted_from_stated()]
            moved = any(
                version.recovered or version.by != book.install_id or version.seq <= book.parted for version in since
            )  # not by this site itself, which was to give back first
            if key[0] != "residu" and not again and not moved:
                raise Broken(f"{key} was signed, and central does not have it again")

    # ── in the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    def check_words(self, npsn: str) -> None:
        """Every last word reached central, or is accounted for."""
        book = self.books[npsn]
        for key, account in book.records.items():
            now = book.now.get(key)
            for name, wish in account.wishes.items():
                if not has(now.fields if now else None, name, wish) and (wish.alone or not wish.reached):
                    raise Broken(f"{key} {name}: {wish} is lost, central has {now and now.fields}")

    def check_statements(self, school: central.School) -> None:
        """What was stated is still there, as it was."""
        for statement in school.statements:
            if root(school.state(statement["head_seq"]).values()) != statement["root"]:
                raise Broken(f"central no longer holds what it stated in session {statement['session']}")


def _parts(hashes: bytes) -> set[bytes]:
    return {hashes[n : n + 32] for n in range(0, len(hashes), 32)}


def _check_conflict(key: Key, before: Replicated, after: Replicated, spec: EntitySpec | None, account: Account) -> None:
    if after.conflict is not None and not account.others_acted:
        raise Broken(f"{key}: a conflict, and nobody to disagree with")
    if before.conflict is None or spec is None or after.data is None or after.base.fields is None:
        return
    kept = after.conflict.fields if after.conflict else frozenset()
    for name in sorted(before.conflict.fields - {WHOLE} - kept):
        agree = same(after.data.get(name), after.base.fields.get(name))
        if not agree and not spec.is_central(name, after.base.fields):
            raise Broken(f"{key} {name}: a conflict that nobody decided is gone")
