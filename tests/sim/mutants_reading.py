"""Bugs that consumers had, put into this one; see `mutants.py` for the columns."""

from __future__ import annotations

FETCH = "tests/sim/test_fetch.py"
SESSIONS = "tests/sim/test_fetch_sessions.py"
SEEDS = "tests/sim/test_reading_seeds.py"
EPOCHS = "tests/sim/test_epochs.py"
GROUP = "tests/sim/test_membership.py"
GROUP_SEEDS = "tests/sim/test_group_seeds.py"
CONSUMER = "tests/sim/test_consumer_protocol.py"
COMMITS = "tests/sim/test_commits.py"
RACKS = "tests/core/test_assignors_racks.py"

READING: tuple[tuple[str, str, str, tuple[tuple[str, str], ...], str], ...] = (
    (
        "answer to an earlier question",
        "KAFKA-10134 and its kind: records fetched for where it was are handed out after a seek",
        "consume.answers",
        (
            (
                "partition.state is not FetchState.FETCHING or asked != expected",
                "partition.state is not FetchState.FETCHING",
            ),
        ),
        FETCH,
    ),
    (
        "everything behind the long poll",
        "kafka-python and aiokafka: what was sought waits for the Fetch that waits for others",
        "consume.fetch",
        (
            (
                "            if any(session.waiting.values()):\n                self._catch_up",
                "            if False:\n                self._catch_up",
            ),
        ),
        FETCH,
    ),
    (
        "first come first served",
        "KIP-74: without rotation the first partitions of a request starve the last",
        "consume.fetch",
        (("                    session.rotate(partition)", "                    pass"),),
        FETCH,
    ),
    (
        "no bound",
        "K#1412 and its kind: fetched ahead without a bound on memory",
        "consume.fetch",
        (
            (
                "        if size < min(config.max_bytes, config.partition_max_bytes, share) and self.used > 0:",
                "        if False:",
            ),
        ),
        FETCH,
    ),
    (
        "a retry undoes a later commit",
        "a commit that may be tried again is, behind a later one, and the group goes back",
        "groups.offsets",
        (("        return last.get(tp, 0) > self._number", "        return False"),),
        COMMITS,
    ),
    (
        "every first attempt is in its turn",
        "ours: a commit that paused after its coordinator was not reached was sent behind the one after it",
        "groups.offsets",
        (("last = self._begun if self.was_sent else self._sent", "last = self._begun if self.was_sent else {}"),),
        COMMITS,
    ),
    (
        "starving in silence",
        "what paused partitions have fetched holds all the memory, and nobody is told to let go of it",
        "consume.fetch",
        (("                self.deliveries.is_starving = True\n", ""),),
        FETCH,
    ),
    (
        "paused and fetched",
        "K#2011: paused partitions are fetched on, and what comes is thrown away",
        "consume.fetch",
        (("            and not partition.position.paused\n", ""),),
        FETCH,
    ),
    (
        "offset of a former topic",
        "C#1787, R#3255, F#358: a topic made anew is read from where the old one was left",
        "consume.fetch",
        (("                self.places.made_anew(partition, now)", "                pass"),),
        FETCH,
    ),
    (
        "looked up and taken there",
        "R#3471: an offset that was looked up overrules a seek that came meanwhile",
        "consume.places",
        (
            ("            and partition.state is FetchState.LOOKING_UP\n", ""),
            ("            and _asked(partition) == asked\n", ""),
            (
                "elif position.settle(before.generation, place.value.offset):",
                "elif position.move(place.value.offset, -1):",
            ),
            (
                "                partition.handle(FetchEvent.FOUND)\n",
                "                partition.place(place.value.offset, -1)\n",
            ),
        ),
        FETCH,
    ),
    (
        "lost before it was read",
        "ours: without a policy the reader was told of a truncation before what it had read",
        "consume.places",
        (
            (
                "        if read > end and self._fetch.config.reset is None:",
                "        if self._fetch.config.reset is None:",
            ),
        ),
        EPOCHS,
    ),
    (
        "a share for the dead",
        "ours: brokers that lead nothing any more had their share of the memory, so that answers became ever smaller",
        "consume.fetch",
        (("                del self._sessions[node]", "                pass"),),
        FETCH,
    ),
    (
        "broken and fetched on",
        "ours: what came after a record that could not be read was read, and that record never again",
        "consume.fetch",
        (("            partition.handle(FetchEvent.BROKEN)\n", ""),),
        FETCH,
    ),
    (
        "all wait for the slowest look-up",
        "ours: a partition that could not be looked up kept all others from being read, for request_timeout_ms",
        "consume.places",
        (("led.setdefault(partition.leader, {})", "led.setdefault(0, {})"),),
        FETCH,
    ),
    (
        "a look-up is insisted on",
        "ours: one partition whose leader had moved kept the others of its broker waiting",
        "consume.places",
        ((", once=True)", ")"),),
        FETCH,
    ),
    (
        "out of range in silence",
        "K#2003: without a policy nothing is fetched and nothing is said",
        "consume.places",
        (("        self._fetch.fail(partition, error)\n\n    def ask", "\n    def ask"),),
        FETCH,
    ),
    (
        "a session in name only",
        "KIP-227: each request names every partition all the same",
        "consume.session",
        (("            listed = self.changed\n", "            listed = list(self.members)\n"),),
        SESSIONS,
    ),
    (
        "left and fetched on",
        "KAFKA-9137 and its kind: the broker's session keeps what the client has left, and answers at once, for ever",
        "consume.session",
        (("        if key in self._known:\n", "        if asked is not _NOTHING and self._id != 0:\n"),),
        SESSIONS,
    ),
    (
        "lost sessions stay",
        "KIP-227: a broker has a thousand sessions, and each that is lost takes one for minutes",
        "consume.session",
        (("session_id=self._ended if is_full else self._id", "session_id=0 if is_full else self._id"),),
        SESSIONS,
    ),
    (
        "two Fetches for ever",
        "ours: what was sought while others were waited for was asked for on its own from then on, 40 times a second",
        "consume.fetch",
        (("session.waiting[partition] = now < session.until - SHORTLY", "session.waiting[partition] = True"),),
        SESSIONS,
    ),
    (
        "hungry for ever",
        "ours: with fetch_max_bytes below max_partition_fetch_bytes two brokers waited for the third one's long poll",
        "consume.fetch",
        (("        if size < min(config.max_bytes, config", "        if size < min(config"),),
        SEEDS,
    ),
    (
        "a field of a later version",
        "ours: brokers older than 2.7 were asked for no second batch",
        "consume.session",
        (("last_fetched_epoch=partition.epoch if version >= DIVERGES else -1", "last_fetched_epoch=partition.epoch"),),
        SEEDS,
    ),
    (
        "ahead of the reader",
        "KIP-320: a truncation takes the reader past what it has fetched and not been given",
        "consume.places",
        (
            (
                "at, epoch = (end, epoch) if end <= read else (read, min(position.leader_epoch, epoch))",
                "at, epoch = end, epoch",
            ),
        ),
        SEEDS,
    ),
    (
        "parted again and again",
        "ours: a leader whose records at the reader's place are of an earlier epoch was asked for them without a pause",
        "consume.places",
        (("min(position.leader_epoch, epoch))", "position.leader_epoch)"),),
        EPOCHS,
    ),
    (
        "truncated and read on",
        "KAFKA-13078 and its kind: what a new leader has not is passed over in silence",
        "consume.answers",
        (("        elif entry.diverging_epoch.end_offset >= 0:\n", "        elif False:\n"),),
        SEEDS,
    ),
    (
        "old brokers are believed",
        "KIP-320: what a new leader of before Kafka 2.7 has not is passed over in silence",
        "consume.fetch",
        (("        if isinstance(version, int) and version < DIVERGES:", "        if False:"),),
        SEEDS,
    ),
    (
        "agreed for good",
        "KIP-320: the first leader is asked, and the next one taken to have the same",
        "consume.fetch",
        (
            (
                "            partition.preferred = -1\n            partition.is_agreed = False\n",
                "            partition.preferred = -1\n",
            ),
        ),
        SEEDS,
    ),
    (
        "what was committed is there",
        "KIP-320: an offset that was committed, or sought, with its epoch is taken for good, however the log goes on",
        "consume.partition",
        (
            (
                "        self.epoch = epoch\n        self.is_agreed = False\n",
                "        self.epoch = epoch\n        self.is_agreed = True\n",
            ),
        ),
        EPOCHS,
    ),
    (
        "a leader that is asked for ever",
        "F#: a leader that cannot say where an epoch ends is asked again and again, and nothing is read",
        "consume.epochs",
        (("if is_unsaid or (error is not None and error.retriable):", "if error is not None:"),),
        EPOCHS,
    ),
    (
        "the end never comes",
        "kcat -e and its kind: where compaction took the last records of a log, a read to its end waits for ever",
        "consume.answers",
        (("                position.nothing_from, position.nothing_until = asked.offset, limit\n", ""),),
        FETCH,
    ),
    (
        "an empty answer is the end",
        "whoever takes the first answer without records for the end of a range loses what is still being fetched",
        "consume.answers",
        (("            if times >= EMPTY_ANSWERS:", "            if times:"),),
        FETCH,
    ),
    (
        "past the end of a range",
        "all that comes later is fetched too, and thrown away",
        "consume.fetch",
        (("            and partition.next_offset < partition.end\n", ""),),
        FETCH,
    ),
    (
        "the id it was handed is thrown away",
        "0.2 of Kafka's own facts: who asks for an id twice holds up the next rebalance for a session",
        "groups.membership",
        (
            (
                "            if response.error_code != Code.MEMBER_ID_REQUIRED:\n",
                (
                    "            if response.error_code == Code.MEMBER_ID_REQUIRED:\n"
                    "                self.id = ''\n            else:\n"
                ),
            ),
        ),
        GROUP,
    ),
    (
        "no heartbeat while partitions are given up",
        "K#1310 and its kind: a listener that takes its time takes its member out of the group",
        "groups.membership",
        (
            (
                "        self.handle(MemberEvent.REBALANCE)\n",
                "        self.handle(MemberEvent.REBALANCE)\n        self._beating.cancel()\n",
            ),
        ),
        GROUP,
    ),
    (
        "nobody joins again after cooperation",
        "K#3164: what was revoked in a cooperative rebalance is never given to anybody",
        "groups.membership",
        (
            (
                "                self._rebalances = True  # so that",
                "                self._rebalances = False  # so that",
            ),
        ),
        GROUP,
    ),
    (
        "expelled and silent",
        "A#575, A#727: a member that the broker has removed beats on, or never joins again",
        "groups.membership",
        (
            (
                (
                    "                self._expelled = True\n                self._disturbed.happens(now)\n"
                    "                return\n\n    def"
                ),
                "                return\n\n    def",
            ),
        ),
        GROUP,
    ),
    (
        "a sleeper keeps its partitions",
        "KIP-62: who does not poll stays a member as long as its heartbeats go out",
        "groups.membership",
        (("            if now - self._polled(now) > config.rebalance_timeout:", "            if False:"),),
        GROUP,
    ),
    (
        "new partitions for nobody",
        "K#1079: partitions that are added are read after the next restart only",
        "groups.membership",
        (("            if has_moved or self._seen != self._known(self._seen):", "            if has_moved:"),),
        GROUP,
    ),
    (
        "leaves without a word",
        "R#1802: a member that closes is waited for until its session ends",
        "groups.membership",
        (("            if not is_member or (self.config", "            if True or (self.config"),),
        GROUP,
    ),
    (
        "acknowledged before it is given up",
        "KIP-848's own rule: two members read what the first has said to be free while its reader is at it",
        "groups.consumer_protocol",
        (
            (
                (
                    "                now = await self._hand_over(revoked=[self._held[place] for place in gone])\n"
                    "                for place in gone:\n                    del self._held[place]\n"
                ),
                (
                    "                revoked = [self._held[place] for place in gone]\n"
                    "                for place in gone:\n                    del self._held[place]\n"
                    "                self._speaks.happens(now)\n"
                    "                now = await self._hand_over(revoked=revoked)\n"
                ),
            ),
        ),
        CONSUMER,
    ),
    (
        "given up and not said",
        "KIP-848: what was given up is said with the next heartbeat in turn, for which others wait",
        "groups.consumer_protocol",
        (
            ("                self._speaks.happens(now)  # others wait for that\n", ""),
            (
                "hand_over(assigned=partitions)\n                self._speaks.happens(now)\n",
                "hand_over(assigned=partitions)\n",
            ),
        ),
        CONSUMER,
    ),
    (
        "only with an assignment",
        "0.3 of Kafka's own facts: the epoch of an answer without an assignment is passed over, and the member fenced",
        "groups.consumer_protocol",
        (
            (
                "        self.generation = response.member_epoch  #",
                "        if response.assignment is not None: self.generation = response.member_epoch  #",
            ),
        ),
        CONSUMER,
    ),
    (
        "a lost answer is forgotten",
        "semantics 6.2: what it said is taken as heard, and what the lost answer brought never comes again",
        "groups.consumer_protocol",
        (("                self._said = None\n", "                pass\n"),),
        CONSUMER,
    ),
    (
        "another id each time",
        "F#: a member that was fenced comes back as somebody else, beside itself",
        "groups.consumer_protocol",
        (
            (
                'self.id = "" if self.is_classic else self._own_id',
                'self.id = "" if self.is_classic else _new_id(self._services.random)',
            ),
        ),
        CONSUMER,
    ),
    (
        "gone with its members",
        "0.5 of Kafka's own facts: a group whose last member expired answers 69, which is no reason to give up",
        "groups.consumer_protocol",
        (("(code == Code.GROUP_ID_NOT_FOUND and not joins)", "False"),),
        CONSUMER,
    ),
    (
        "unknown topics are dropped",
        "F 1.21.6: a topic that a pattern has found is never read, as nobody has heard its name",
        "groups.consumer_protocol",
        (("            self._ask_names(unknown, now)", "            pass"),),
        CONSUMER,
    ),
    (
        "an old answer is final",
        "ours: a static member whose process was stopped while it waited for its name was refused by what it found",
        "groups.consumer_protocol",
        (("if asked - self._unreleased_since", "if now - self._unreleased_since"),),
        CONSUMER,
    ),
    (
        "a namesake is final",
        "semantics 6.2: a static member that is started again within its session ends at once",
        "groups.consumer_protocol",
        (("        if code == Code.UNRELEASED_INSTANCE_ID:", "        if False:"),),
        CONSUMER,
    ),
    (
        "a static member leaves for good",
        "KIP-848: -1 instead of -2, and a restart moves all of its partitions twice",
        "groups.consumer_protocol",
        (("member_epoch=_LEAVES if for_good or config.instance is None else _PAUSES", "member_epoch=_LEAVES"),),
        CONSUMER,
    ),
    (
        "an epoch too old is the end of a commit",
        "node-rdkafka#1146: commits fail whenever the epoch has just moved",
        "groups.offsets",
        (("            again = renewed(left)  #", "            again = None  #"),),
        CONSUMER,
    ),
    (
        "committed for others",
        "A2: with the present epoch the coordinator takes commits for partitions that are others'",
        "groups.consumer_protocol",
        (("and self.owned.issuperset(partitions) else None", "else None"),),
        CONSUMER,
    ),
    (
        "an epoch too old is no offset",
        "platformatic#267: where the epoch has moved, committed offsets are not found, and reading begins at the end",
        "groups.offsets",
        ((" and error.errno not in _NOT_NOW", ""),),
        CONSUMER,
    ),
    (
        "a pattern is never taken back",
        "KIP-848: null leaves a pattern as it is, so that who subscribes names reads what it matches beside them",
        "groups.consumer_protocol",
        (("version >= _PATTERNS and pattern != said_pattern", "version >= _PATTERNS and pattern"),),
        CONSUMER,
    ),
    (
        "patterns for brokers of 4.0's early access",
        "Java's UnsupportedVersionException: version 0 has no field for a pattern; the member reads nothing for ever",
        "groups.consumer_protocol",
        (("            if self._pattern and result.value.version < _PATTERNS:", "            if False:"),),
        CONSUMER,
    ),
    (
        "racks are nobody's business",
        "KIP-881: who leads the group does not look where replicas are",
        "groups.membership",
        (("members, sizes, self._seen_racks)", "members, sizes, NO_RACKS)"),),
        GROUP,
    ),
    (
        "a broker that is down is nowhere",
        "KIP-881 in Java: the group rebalances when a broker goes down, and again when it is back",
        "groups.membership",
        (("self._broker_racks.update(", "self._broker_racks = dict("),),
        GROUP,
    ),
    (
        "replicas do not move",
        "KIP-881: members go on reading from far away when replicas were reassigned",
        "groups.membership",
        (("if has_moved or self._seen", "if self._seen"),),
        GROUP,
    ),
    (
        "back, and knows nothing",
        "KIP-814, Java's too: a static leader that came back takes what there is now for what was given out",
        "groups.membership",
        (("            self._recall(now)\n", "            pass\n"),),
        GROUP,
    ),
    (
        "what does not exist has changed",
        "ours: a group that subscribes a topic that does not exist rebalanced with all metadata, and without end",
        "groups.membership",
        (
            (
                "self._seen != self._known(self._seen):",
                "self._seen != {k: v for k, v in self._known(self._seen).items() if v}:",
            ),
        ),
        GROUP,
    ),
    (
        "deaf while it assigns",
        "ours: a partition that was added between assignment and SyncGroup's answer was nobody's for metadata_max_age",
        "groups.membership",
        (("            self._compare(now)  # with", "            pass  # with"),),
        GROUP,
    ),
    (
        "refused is refused",
        "ours: subscribing after a refusal raised KeyError on the IO thread, and the consumer was dead",
        "groups.membership",
        (("if self.state in (MemberState.CLOSED, MemberState.FATAL):", "if self.state is MemberState.CLOSED:"),),
        GROUP,
    ),
    (
        "gives up what it gets back",
        "ours: where racks matter a cooperative group swapped partitions for ever, and one of them was nobody's",
        "groups.assignors",
        (("key=lambda each: (fits(giver, each), owners.get(each) == giver)", "key=lambda each: fits(giver, each)"),),
        GROUP_SEEDS,
    ),
    (
        "to who is near, however full",
        "ours: the same, for what is handed on by who has too much",
        "groups.assignors",
        (("(len(shares[id]), not fits(id, partition))", "(not fits(id, partition), len(shares[id]))"),),
        RACKS,
    ),
    (
        "eager and forgetful",
        "ours: sticky members gave everything up before they joined, and said that they had nothing",
        "groups.membership",
        (("encode_last(self._last, self._last_generation)", "encode_last((), -1)"),),
        GROUP,
    ),
    (
        "joins as fast as it can",
        "ours: a classic member of a group that changes its protocol joined without a pause until all had",
        "groups.membership",
        (
            (
                "if failures > 1 or error.errno != Code.REBALANCE_IN_PROGRESS:",
                "if error.errno != Code.REBALANCE_IN_PROGRESS:",
            ),
        ),
        GROUP_SEEDS,
    ),
    (
        "back, and blind",
        "ours: a static leader that came back (KIP-814) did not look for partitions that are added",
        "groups.membership",
        (
            (
                "        if joined.leader == self.id:\n",
                "        if joined.leader == self.id and not joined.skip_assignment:\n",
            ),
        ),
        GROUP,
    ),
    (
        "eager, and keeps it",
        "KAFKA-8460 and its kind: who is to give up all before it joins reads on while others get it",
        "groups.membership",
        (("            if self.owned and not self._is_cooperative:", "            if False:"),),
        GROUP_SEEDS,
    ),
    (
        "given to others, and kept",
        "KIP-429: a cooperative member that is to give something up goes on reading it",
        "groups.membership",
        (("        if revoked:\n            await", "        if False:\n            await"),),
        GROUP_SEEDS,
    ),
    (
        "comes back with what it has lost",
        "A2 of Kafka's own facts: who joins with partitions of its own is refused, for good",
        "groups.consumer_protocol",
        (
            (
                "        self._target = self._said = None\n        self._held = {}\n",
                "        self._target = self._said = None\n",
            ),
        ),
        GROUP_SEEDS,
    ),
    (
        "waits for a leader that has failed",
        "an assignor of one's own raises in the leader: the others wait until its session ends",
        "groups.membership",
        (('                        self._part("its assignor failed", now)', "                        pass"),),
        GROUP,
    ),
    (
        "nothing of its own is said",
        "kafka-python's custom assignors: user_data of other members does not reach the leader",
        "groups.membership",
        (("user_data=user_data.get(strategy.name)", "user_data=None"),),
        GROUP,
    ),
    (
        "a last heartbeat joins",
        "ours: a heartbeat that waited for its coordinator while the member left was one that joins",
        "groups.consumer_protocol",
        (("        if self.state is MemberState.CLOSED:  # it has left", "        if False:  # it has left"),),
        CONSUMER,
    ),
    (
        "a static sleeper",
        "ours: a static member that does not poll kept its partitions for a session",
        "groups.consumer_protocol",
        (
            (
                "_LEAVES if for_good or config.instance is None else _PAUSES",
                "_LEAVES if config.instance is None else _PAUSES",
            ),
        ),
        CONSUMER,
    ),
    (
        "static until it falls back",
        "ours: a static member left its group for good where the brokers know only the classic protocol",
        "groups.consumer_protocol",
        (("        return not self.is_classic  # by a word", "        return True  # by a word"),),
        CONSUMER,
    ),
)
