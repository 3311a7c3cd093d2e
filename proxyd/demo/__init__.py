"""The demonstrations `proxyd demo front` and `proxyd demo edge`: whole scenes on one machine.

``front.py``, ``edge.py``  the two stories
``stage.py``         the directory, the files of conf/, ports, processes
``certificates.py``  a CA and what it signs, made on the spot
``application.py``   the applications behind the proxies, and their pages
``client.py``        asks as a browser would, and reads the admin pages
``play.py``          one step after the other, and what each has to show
"""
