"""`inherit.py SOCKET command …`: run the command with the listening socket that `web_socket.Offer` hands out.

It arrives in the way of systemd's socket activation, which gunicorn knows. Standard library only, and run as a
script: it replaces itself by the command.
"""

import os
import socket
import sys

FIRST_FD = 3  # systemd's SD_LISTEN_FDS_START


def main(path: str, command: list[str]) -> None:
    with socket.socket(socket.AF_UNIX) as offer:
        offer.connect(path)
        _, received, _, _ = socket.recv_fds(offer, 1, 1)
    if received[0] != FIRST_FD:
        os.dup2(received[0], FIRST_FD)
        os.close(received[0])
    os.set_inheritable(FIRST_FD, True)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.execv(command[0], command)  # noqa: S606 (no shell is what we want)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
