"""Files that change while the proxies run: the same moves before Envoy and proxyd, looked at after each.

``step.py``         one move of a file
``scene.py``        the files of a story, as texts to change
``laboratory.py``   plays the stories on both
"""
