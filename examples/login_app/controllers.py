import asyncio

import pages
from users import is_password_of


class HomeController:
    def show(self, request, response):
        return pages.home(request, response)


class LoginController:
    def show(self, request, response):
        return pages.login(request, response)

    async def log_in(self, request, response):
        name, password = request.input("name", ""), request.input("password", "")
        is_text = isinstance(name, str) and isinstance(password, str)  # JSON has more
        # A thread, for a password takes its time and others should not wait for it.
        if not is_text or not await asyncio.to_thread(is_password_of, name, password):
            response.status(401)
            return pages.login(request, response, "That is not right.")
        request.session.regenerate()  # an id that somebody knows is worth nothing now
        request.session.put("user", name)
        return response.redirect(name="home")

    def log_out(self, request, response):
        request.session.flush()
        request.session.flash("message", "Good bye.")
        return response.redirect(name="login")
