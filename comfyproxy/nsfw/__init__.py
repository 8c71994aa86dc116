"""What a picture or video shows, as a number: files are looked at in a bounded child process.

    scorer.py   the parent's half: plain Python, imports no picture library
    child.py    the other half: frames.py opens the untrusted file, classifiers/ score its frames

No Django anywhere in it, so that the child starts fast and holds nothing worth stealing.
"""
