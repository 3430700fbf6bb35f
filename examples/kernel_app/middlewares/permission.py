from socketify_mw import Middleware


class Permission(Middleware):
    def before(self, request, response, user_id):  # as in "permission:@user_id"
        if user_id != request.state.user_id:
            return {"error": "that is not yours"}, 403
        return request
