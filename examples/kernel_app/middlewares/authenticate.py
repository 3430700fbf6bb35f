from socketify_mw import Middleware

USERS = {"Bearer ann-s-secret": ("Ann", "152"), "Bearer bo-s-secret": ("Bo", "7")}


class Authenticate(Middleware):
    async def before(self, request, response):
        user = USERS.get(request.get_header("authorization"))
        if user is None:
            return {"error": "who are you?"}, 401  # an answer: the controller won't run
        request.state.user, request.state.user_id = user
        return request
