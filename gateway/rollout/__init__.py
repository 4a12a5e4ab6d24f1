"""The gateway's side of a rollout: which release answers a photo, and how the next one proves itself.

follower   polls the model store, prepares lanes, puts the plan in force, reports, acts on what the judge says
plan       who answers what, as of now: champion, challenger, stage
router     the ``ModelServer`` port: each photo by the plan
lane       one release on Triton, and the reading of its answers
shadow     copies of answered photos for a challenger, off the critical path
watch      what was seen of a release in its stage
judge      whether that breaks its bounds
"""
