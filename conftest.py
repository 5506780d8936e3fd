"""What holds for all tests, those of plugins too."""

import signal

# A shell that starts a run in the background has it ignore SIGINT, and so would all that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
