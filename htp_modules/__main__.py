"""``python -m htp_modules``: versions, device, the hosts known, and a check of a few seconds."""

from adapters.self_check import main

if __name__ == "__main__":
    raise SystemExit(main())
