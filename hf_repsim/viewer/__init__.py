"""What the viewer shows, without the page that shows it: `hf_repsim.app` puts it on screen.

A `View` is what is looked at, and a link holds exactly that. A `Shelf` says which results may be
opened, a `Side` is one of them with its rows chosen, and a `Scene` is what stands on the page.
"""
