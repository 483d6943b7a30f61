"""The port of this manager, and who may come in through it."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable

from ldmd.messages import RefusedError
from ldmd.migrator import greeting
from ldmd.migrator.greeting import Join, Welcome
from ldmd.migrator.link import Link
from ldmd.migrator.listener import Listener
from ldmd.migrator.means import Means
from ldmd.migrator.passwords import FILE, Guesses, check_password
from ldmd.migrator.peers import fingerprint, trusted, unreadable_trust
from ldmd.migrator.targetside import TargetSide


class Door:
    """`target_for`: who takes up a link for a domain."""

    def __init__(self, means: Means, target_for: Callable[[str], TargetSide]) -> None:
        self._means, self._target_for = means, target_for
        self._guesses = Guesses(means.manager.clock.monotonic)
        self._guessing = threading.Lock()  # many guesses at one time are no more than one after another
        self._listener: Listener | None = None

    def open(self, address: tuple[str, int]) -> tuple[str, int]:
        """Listen. Raises OSError."""
        self._listener = Listener(address, identity=self._means.identity, judge=self._judge, arrived=self._arrived,
                                  log=self._means.manager.log, pace=self._means.pace)
        return self._listener.address

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.close()

    @property
    def home_token(self) -> str:
        """Tells managers of one home that they are: of the directory itself."""
        home = self._means.home
        if home is None:
            return ""
        try:
            found = home.stat()
        except OSError:
            return ""
        return hashlib.sha256(f"{found.st_dev} {found.st_ino} {home}".encode()).hexdigest()[:32]

    def _judge(self, join: Join, pem: str, address: str) -> Welcome | str:
        """May it come in? Constant words, whatever was wrong; nothing is written."""
        means = self._means
        try:
            if not self._may(join, fingerprint(ssl.PEM_cert_to_DER_cert(pem)), address):
                who = f"user {join.user[:64]!r} by password" if join.how == greeting.PASSWORD else f"by {join.how}"
                means.manager.log.notice(f"migration: machine {join.machine[:64]!r} at {address} was not let in, {who}")
                if join.how == greeting.CERTIFICATE:
                    for each in unreadable_trust(means.directory):
                        means.manager.log.warning(f"migration: trust/{each}")
                return "authentication"
            if not means.settings.incoming:
                return "off"
            return Welcome(machine=means.manager.configuration.server.name, greatest=means.greatest(join.uuid),
                           home=self.home_token, release=means.settings.release)
        except RefusedError as error:
            means.manager.log.warning(f"migration: {error.text}")
            return "authentication"

    def _may(self, join: Join, mark: str, address: str) -> bool:
        means = self._means
        if join.how == greeting.CERTIFICATE:
            return mark in trusted(means.directory).values()
        if join.how == greeting.SESSION:
            return mark in means.note("target", join.uuid).get("sessions", [])
        with self._guessing:
            if self._guesses.blocked(address):
                return False
            if check_password(means.directory / FILE, join.user, join.password):
                self._guesses.right(address)
                return True
            self._guesses.wrong(address)
            return False

    def _arrived(self, join: Join, pem: str, link: Link) -> None:
        try:
            target = self._target_for(join.uuid)
        except Exception as error:
            self._means.manager.log.warning(f"migration: {error}")
            link.close(at_once=True)
            return
        old = join.how == greeting.SESSION and join.mid < target.state.mid and pem != target.pem
        if not old:
            target.joined(peer=join.machine, pem=pem)
        target.arrive(link, main=not old)
